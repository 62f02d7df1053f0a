import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { alerts } from '../../deploy/observability/alerts.ts'
import { families } from '../../deploy/observability/metrics.ts'
import { overview } from '../../deploy/observability/overview.ts'
import { trouble } from '../../deploy/observability/trouble.ts'
import { needs } from '../support/tools.ts'

const root = join(import.meta.dirname, '../..')
const monitoring = join(root, 'deploy/monitoring')
const read = (name: string): string => readFileSync(join(monitoring, name), 'utf8')

test('every alert has a runbook with meaning, causes, what to look at and what to change, and no runbook is left over', (t) => {
  for (const { name } of alerts) {
    const file = join(root, `docs/runbooks/${name}.md`)
    t.ok(existsSync(file), name)
    const text = readFileSync(file, 'utf8')
    for (const part of [
      `# ${name}`,
      '## Meaning',
      '## Likely causes',
      '## What to look at',
      '## What to change',
    ])
      t.match(text, new RegExp(`^${part}$`, 'm'), `${name}: ${part}`)
  }
  t.same(readdirSync(join(root, 'docs/runbooks')).sort(), alerts.map(({ name }) => `${name}.md`).sort())
  t.end()
})

test('a runbook names only metrics, panels and commands that there are', (t) => {
  const known = new Set(families.map(({ name }) => name))
  const titles = new Set(
    [overview, trouble].flatMap(({ rows }) =>
      rows.flatMap(({ title, panels }) => [title, ...panels.map((panel) => panel.title)]),
    ),
  )
  const commands = new Set(readdirSync(join(root, 'src/cli/commands')).map((name) => name.replace('.ts', '')))
  for (const { name } of alerts) {
    const text = readFileSync(join(root, `docs/runbooks/${name}.md`), 'utf8')
    t.same(
      [...text.matchAll(/\b(?:sidegate|process|nodejs)_[a-z0-9_]+/g)]
        .map(([metric]) => metric)
        .filter((metric) => !known.has(metric)),
      [],
      name,
    )
    const looks = text
      .split('\n')
      .filter((line) => /\b(?:[Pp]anels?|row) \*/.test(line))
      .flatMap((line) =>
        [...line.matchAll(/(?:[Pp]anels?|row|and) \*([^*]+)\*/g)].map(([, title = '']) => title),
      )
    t.same(
      looks.filter((title) => !titles.has(title)),
      [],
      name,
    )
    t.same(
      [...text.matchAll(/(?:`|-- )sidegate ([a-z]+)/g)]
        .map(([, command = '']) => command)
        .filter((command) => !commands.has(command) && !['explain', 'check'].includes(command)),
      [],
      name,
    )
  }
  t.end()
})

test('the rule file, the PrometheusRule and the tests tell of the same alerts', (t) => {
  const { groups } = parse(read('rules.yaml')) as { groups: Array<{ rules: Array<{ alert?: string }> }> }
  const names = groups.flatMap(({ rules }) =>
    rules.flatMap(({ alert }) => (alert === undefined ? [] : [alert])),
  )
  t.same(
    names,
    alerts.map(({ name }) => name),
  )
  t.same((parse(read('prometheusrule.yaml')) as { spec: { groups: unknown } }).spec.groups, groups)
  for (const name of names)
    t.match(read('rules_test.yaml'), new RegExp(`name: ${name} `), `${name} has a test of its own`)
  t.end()
})

test(
  'promtool: the rules are valid, and each alert fires for what it is for and for nothing else',
  needs('promtool'),
  (t) => {
    t.match(
      execFileSync('promtool', ['check', 'rules', 'rules.yaml'], { cwd: monitoring, encoding: 'utf8' }),
      /SUCCESS/,
    )
    t.match(
      execFileSync('promtool', ['test', 'rules', 'rules_test.yaml'], { cwd: monitoring, encoding: 'utf8' }),
      /SUCCESS/,
    )
    t.end()
  },
)
