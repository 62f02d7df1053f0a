// No image and no package is published yet, so no command that a reader copies from here may pull an image or
// run a package of a stranger with the same name.

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { IMAGE } from '../../src/core/image.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const files = execFileSync(
  'git',
  ['ls-files', '-co', '--exclude-standard', '*.md', '*.yaml', '*.sh', 'Dockerfile'],
  {
    cwd: root,
    encoding: 'utf8',
  },
)
  .trim()
  .split('\n')

test('an image of Sidegate is named as yours, wherever one is named', async (t) => {
  t.match(IMAGE, /^[a-z]+\.example\.com\//, 'a domain that nobody can have (RFC 2606)')
  const named = files.flatMap((file) =>
    [...read(file).matchAll(/[\w-]+\.[\w.-]+\/(?:[\w.-]+\/)*sidegate(?=[:"@][\d.\w"])/g)].map(([image]) => ({
      file,
      image,
    })),
  )
  t.ok(named.length > 8)
  t.same(
    named.filter(({ image }) => image !== IMAGE && !image.startsWith('localhost/')),
    [],
  )
  for (const chart of ['sidegate', 'sidegate-sidecar'])
    t.match(parse(read(`helm/${chart}/values.yaml`)), { image: { repository: IMAGE } }, chart)
})

test('no command of a page fetches a package of that name', async (t) => {
  for (const file of files.filter((one) => one.endsWith('.md')))
    t.same(
      read(file).match(
        /(npx (?!--no --|--yes --package)[^\n]*sidegate|npm (install|i|exec)( -g| --global)? sidegate)/g,
      ),
      null,
      file,
    )
})

test('the claim of the README says where the image comes from', async (t) => {
  const [, block = ''] = /## In front of a Deployment[\s\S]*?```\n([\s\S]*?)```/.exec(read('README.md')) ?? []
  for (const part of ['docker build', 'docker push', '--image "$IMAGE"']) t.ok(block.includes(part), part)
})
