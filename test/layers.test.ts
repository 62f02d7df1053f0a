import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test } from 'tap'

const src = join(import.meta.dirname, '../src')

const architecture = readFileSync(join(src, '../docs/architecture.md'), 'utf8')
/** From the top. A file imports its own folder and the rows below. */
const rows: string[][] = architecture
  .split('```\n')[1]!
  .trim()
  .split('\n')
  .map((row) => row.split(' '))
/** Rooms of one row that may import each other; the other siblings may not. */
const friends: string[][] = [
  ['cli', 'demo', 'inject'],
  ['admin', 'ops', 'lifecycle', 'overload', 'metrics', 'log', 'files'],
  ['admin', 'ops', 'lifecycle', 'overload', 'config', 'files'],
  ['fleet', 'files'],
  ['admission', 'opening', 'http1', 'http2', 'websocket'],
]
/** Files that describe each other: a protocol and the relay that asks it, a kind of key and the tree of all keys. */
const mutual: string[][] = [
  ['config/keys.ts', 'config/meta.ts'],
  ['opening/opening.ts', 'opening/steps.ts'],
  ['pair/dialogue.ts', 'pair/half.ts'],
]
const path = new Set([
  'listener',
  'admission',
  'opening',
  'http1',
  'http2',
  'websocket',
  'limits',
  'pair',
  'upstream',
  'endpoint',
  'core',
])
const beside = new Set([
  'admin',
  'ops',
  'lifecycle',
  'overload',
  'fleet',
  'metrics',
  'log',
  'config',
  'files',
])
const MAX_LINES = 350
/** Longer than that for a reason. */
const longer: Record<string, string> = {
  'core/close.ts': 'a table of sentences',
}

interface File {
  name: string
  folder: string
  text: string
  imports: { file: string; folder: string }[]
}

const folderOf = (file: string): string => file.split('/')[0]!.replace(/\.ts$/, '')

const files: File[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => {
    const text = readFileSync(join(src, name), 'utf8')
    const imports = [...text.matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, target]) => {
      const file = relative(src, join(src, dirname(name), target!))
      return { file, folder: folderOf(file) }
    })
    return { name, folder: folderOf(name), text, imports }
  })

/** The code without its comments, so that a comment may name a rule; and without the call that switches Node's own timer off. */
const code = ({ text }: File): string =>
  text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '$1')
    .replaceAll('.setTimeout(0)', '')

const rowOf = (folder: string): number => rows.findIndex((names) => names.includes(folder))

function having(pattern: RegExp, except: string[] = []): string[] {
  return files
    .filter((file) => pattern.test(code(file)) && !except.includes(file.name))
    .map(({ name }) => name)
}

test('every folder has its row', (t) => {
  t.same(
    files.filter(({ name }) => !name.includes('/')).map(({ name }) => name),
    [],
    'src holds folders only',
  )
  t.same(
    files.filter(({ folder }) => rowOf(folder) === -1).map(({ name }) => name),
    [],
  )
  t.end()
})

test('docs/architecture.md has a charter for every room, and names files that exist', (t) => {
  t.same(
    [...architecture.matchAll(/^\| `(\w+)` \|/gm)].map(([, room]) => room),
    rows.flat(),
  )
  t.same(
    rows.flat().filter((room) => !existsSync(join(src, room, 'README.md'))),
    [],
    'and each room shows its own',
  )
  const named = [...architecture.matchAll(/`(src\/[\w/.-]+)`|\]\(\.\.\/(src\/[\w/.-]+)\)/g)].map(
    ([, plain, linked]) => plain ?? linked!,
  )
  t.same(
    named.filter((name) => !existsSync(join(src, '..', name))),
    [],
  )
  t.end()
})

test('a file imports its own folder and rows below, never upwards and never sideways', (t) => {
  const wrong = files.flatMap(({ name, folder, imports }) =>
    imports
      .filter((target) => {
        const [from, to] = [rowOf(folder), rowOf(target.folder)]
        if (target.folder === folder || to > from) return false
        return to < from || !friends.some((names) => names.includes(folder) && names.includes(target.folder))
      })
      .map((target) => `${name} imports ${target.file}`),
  )
  t.same(wrong, [])
  t.end()
})

test('no rooms import each other in a circle, and files only where each describes the other', (t) => {
  const rooms = files.map(({ folder, imports }) => [folder, imports.map((target) => target.folder)] as const)
  t.same(circles(rooms), [])
  t.same(
    circles(files.map(({ name, imports }) => [name, imports.map(({ file }) => file)] as const)),
    mutual,
    'types count',
  )
  t.end()
})

/** The groups of nodes that reach each other. */
function circles(arrows: ReadonlyArray<readonly [from: string, to: readonly string[]]>): string[][] {
  const reached = new Map<string, Set<string>>()
  for (const [from, to] of arrows)
    reached.set(from, new Set([...(reached.get(from) ?? []), ...to.filter((node) => node !== from)]))
  // A set that grows is walked to its new end.
  for (const nodes of reached.values())
    for (const node of nodes) for (const next of reached.get(node) ?? []) nodes.add(next)
  const groups = [...reached].map(([node, nodes]) =>
    [...nodes].filter((other) => reached.get(other)?.has(node)).toSorted(),
  )
  const distinct = new Set(groups.filter(({ length }) => length > 0).map((group) => group.join(' ')))
  return [...distinct].toSorted().map((group) => group.split(' '))
}

test('the path imports nothing that stands beside it', (t) => {
  const wrong = files.flatMap(({ name, folder, imports }) =>
    path.has(folder)
      ? imports
          .filter((target) => beside.has(target.folder))
          .map((target) => `${name} imports ${target.file}`)
      : [],
  )
  t.same(wrong, [])
  t.end()
})

test('the page for browsers knows words of core, and why connections end; of the rest the types alone; nothing knows the page', (t) => {
  const page = join(src, '../page')
  const wrong = readdirSync(page, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.tsx?$/.test(name) && name !== 'build.ts')
    .flatMap((name) =>
      [...readFileSync(join(page, name), 'utf8').matchAll(/^import (type )?[^;]*?from '([^']+)'/gm)]
        .filter(
          ([, type, target]) =>
            type === undefined &&
            !/^\.\.?\/(?!.*src\/)|\/src\/core\/|\/src\/admin\/(why|config-value|worker-words)\.ts$|^(preact|uplot)/.test(
              target!,
            ),
        )
        .map(([line]) => `page/${name}: ${line}`),
    )
  t.same(wrong, [])
  t.same(having(/['"/]\.\.\/page\/[\w-]+\.tsx?['"]/), [])
  t.end()
})

test('only the clock has timers, so that tests own the time', (t) => {
  const timers = /\b(setTimeout|setInterval|setImmediate|queueMicrotask|nextTick)\b|node:timers/
  t.same(having(timers, ['core/clock.ts']), [])
  t.same(having(/\.setTimeout\s*\(/), [], 'socket.setTimeout cannot tell a read from a write')
  t.same(
    having(/\bDate\.now\(|\bperformance\.now\(|\bnew Date\(\)/, [
      'core/clock.ts',
      'endpoint/kernel-queue.ts',
    ]),
    [],
    'nor does anything else read the time',
  )
  t.end()
})

test('one file loads modules late, and only the demo imports the costly ones whole', (t) => {
  t.same(having(/getBuiltinModule|createRequire|\bimport\('(?!\.)/, ['core/late.ts']), [])
  const costly =
    /^import (?!type)[^']*?from '(node:(https?|http2|tls|crypto|v8|vm|child_process|zlib|inspector.*|perf_hooks|worker_threads)|ws|prom-client.*|ioredis.*)'/m
  t.same(
    having(costly, ['gate/thread.ts']).filter((name) => !name.startsWith('demo/')),
    [],
  )
  t.end()
})

test("Node's undocumented handles are touched in four files", (t) => {
  t.same(
    having(/\b_handle\b/, [
      'admission/tls-alert.ts',
      'admission/tls-parent.ts',
      'endpoint/read-buffer.ts',
      'log/destination.ts',
    ]),
    [],
  )
  t.end()
})

test('no file is long', (t) => {
  const long = files.filter(({ text }) => text.split('\n').length - 1 > MAX_LINES).map(({ name }) => name)
  t.same(long.sort(), Object.keys(longer).sort())
  t.end()
})

test('a comment is no wider than the code, unless it draws', (t) => {
  const prose = /^ *(?:\/\/|\/?\*+) (?!oxlint-|eslint-|\|)\S(?!.*  )/
  const wide = files.flatMap(({ name, text }) =>
    text
      .split('\n')
      .flatMap((line, at) => (line.length > 110 && prose.test(line) ? [`${name}:${at + 1}`] : [])),
  )
  t.same(wide, [])
  t.end()
})
