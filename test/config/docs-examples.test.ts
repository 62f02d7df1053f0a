import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'

const root = join(import.meta.dirname, '../..')
const files = ['README.md', ...globSync('docs/*.md', { cwd: root })]
/** Pages without examples that are tried, whose links are. */
const others = ['{CONTRIBUTING,SECURITY,CHANGELOG}.md', 'docs/*/*.md', 'helm/*/README.md', 'bench/README.md']

/** Whole configurations; fragments of one do not begin with `listeners`. */
const examplesIn = (file: string): string[] =>
  [...readFileSync(join(root, file), 'utf8').matchAll(/```yaml\n([^]*?)```/g)]
    .map(([, text = '']) => text)
    .filter((text) => /^listeners:/m.test(text))

function problems(text: string, file: string): string[] {
  try {
    return checkText(text, file).warnings.map(({ path, message }) => `${path}: ${message}`)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
}

test('every configuration in the documentation is accepted, and nothing in it is risky', async (t) => {
  let count = 0
  for (const file of files) {
    // docs/generate.ts writes it, and docs.test.ts checks more of it.
    if (file === 'docs/configuration.md') continue
    for (const text of examplesIn(file)) {
      count++
      t.strictSame(problems(text, file), [], `${file}: ${text.slice(0, 80)}`)
    }
  }
  t.ok(count >= 8)
})

test('every link in the documentation leads to a file, and to a heading of it', async (t) => {
  const heading = (line: string): string =>
    line
      .replace(/^#+ /, '')
      .toLowerCase()
      .replaceAll(/[^\w\- ]/g, '')
      .replaceAll(' ', '-')
  for (const file of [...files, ...globSync(others, { cwd: root })]) {
    for (const [, target = ''] of readFileSync(join(root, file), 'utf8').matchAll(
      /\]\((?!https?:)([^)]+)\)/g,
    )) {
      const [path = '', anchor] = target.split('#')
      const to = path === '' ? join(root, file) : join(root, file, '..', path)
      const text = to.endsWith('.md') ? readFileSync(to, 'utf8') : ''
      t.ok(globSync(to).length === 1, `${file}: ${target}`)
      if (anchor !== undefined)
        t.ok(
          text.split('\n').some((line) => line.startsWith('#') && heading(line) === anchor),
          `${file}: ${target}`,
        )
    }
  }
})
