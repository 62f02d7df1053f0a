import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'
import { parseAllDocuments, stringify } from 'yaml'
import { checkText } from '../../src/config/load.ts'
import { uninject } from '../../src/inject/undo.ts'
import { type Loose, objectsOf, problemsOf } from '../deploy/kubernetes.ts'
import { isInFull } from '../support/runs.ts'
import { folder, injectIt, names, optionsOf, read, said } from './snapshots.ts'

const plainOf = (text: string): unknown[] =>
  parseAllDocuments(text, { merge: true }).map((document) => document.toJS() as unknown)
/** Of a List, what is in it. */
const inside = (objects: Loose[]): Loose[] =>
  objects.flatMap((object) => (object?.kind === 'List' ? (object.items as Loose[]) : [object]))

test('manifests as people have them become what was read and found good, with all that has to be said', async (t) => {
  t.ok(names.length >= 12)
  for (const name of names) {
    const run = injectIt(optionsOf(name), read(name, 'in.yaml'))
    t.equal(run.stdout, read(name, 'out.yaml'), name)
    t.equal(said(name, run), read(name, 'said.txt'), name)
    t.equal(run.status, 0, name)
  }
})

test('every line of a manifest stays as it is and where it is, but those that are replaced', async (t) => {
  for (const name of names) {
    const [before, after] = ['in.yaml', 'out.yaml'].map((file) => join(folder, name, file)) as [
      string,
      string,
    ]
    const { stdout } = spawnSync('diff', [before, after], { encoding: 'utf8' })
    const gone = stdout.split('\n').flatMap((line) => (line.startsWith('< ') ? [line.slice(2)] : []))
    // Ports and graces that are others now, and maps in braces that have one more key.
    const replaced =
      /targetPort:|\bport:|containerPort:|terminationGracePeriodSeconds|excludeInboundPorts|^\s*"?\w+"?: ?[[{]|^\s*- ports: \[|- ?\{name: /
    for (const line of gone) t.match(line, replaced, `${name}: ${line}`)
  }
})

test('uninject gives back every byte, and so does a second run none', async (t) => {
  for (const name of names) {
    const [before, after] = [read(name, 'in.yaml'), read(name, 'out.yaml')]
    const undone = uninject(after, 'f.yaml')
    t.ok(undone.text === before, name)
    const again = injectIt(optionsOf(name), after)
    t.equal(again.stdout, after, `${name}, done twice`)
    const bare = injectIt(name === 'cron' ? ['--only', 'replay'] : [], after)
    t.equal(bare.stdout, after, `${name}, done twice without its options`)
  }
})

test('what was changed with other options later is undone to the first byte as well', async (t) => {
  for (const name of names) {
    const more = ['--image', 'sidegate:other', '--cpu', '1', '--memory', '1Gi', '--config-map', 'another']
    const only = name === 'cron' ? ['--only', 'replay'] : []
    const later = injectIt([...more, ...only], read(name, 'out.yaml'))
    t.equal(later.status, 0, later.stderr)
    t.not(later.stdout, read(name, 'out.yaml'))
    const undone = uninject(later.stdout, 'f.yaml')
    t.ok(undone.text === read(name, 'in.yaml'), name)
  }
})

test('Kubernetes knows every field of the results, and Sidegate every configuration in them', async (t) => {
  const all: Loose[] = []
  for (const name of names) {
    const objects = inside(plainOf(read(name, 'out.yaml')) as Loose[])
    const known = objects.filter((object) => object !== null && object.kind !== 'Route')
    // What kubectl prints has a null where a time would be.
    const written = objectsOf(JSON.stringify(known).replaceAll('"creationTimestamp":null,', ''))[0] as Loose
    t.ok(written.length > 0, name)
    all.push(...(written as Loose[]))
    for (const { kind, data } of known)
      if (kind === 'ConfigMap')
        checkText(data['sidegate.yaml'] as string, 'sidegate.yaml', { POD_IP: '10.0.0.1' })
  }
  // At once, since most of it is the start of a compiler.
  t.strictSame(await problemsOf(all), [])
})

test('with --strict a remark is an error with exit code 2, and nothing goes to the next program', async (t) => {
  for (const name of names) {
    const remarks = read(name, 'said.txt')
      .split('\n')
      .filter((line) => line.startsWith('note: '))
    const strict = injectIt([...optionsOf(name), '--strict'], read(name, 'in.yaml'))
    const text = remarks.length > 0 ? '' : read(name, 'out.yaml')
    t.strictSame([strict.status, strict.stdout], [remarks.length > 0 ? 2 : 0, text], name)
    for (const line of remarks) t.match(strict.stderr, line.replace('note: ', 'error: '), name)
    const codes = remarks.flatMap((line) => ['--accept', /\[(.*?)\]/.exec(line)![1]!])
    const accepted = injectIt([...optionsOf(name), '--strict', ...codes], read(name, 'in.yaml'))
    t.strictSame([accepted.status, accepted.stdout], [0, read(name, 'out.yaml')], `${name}, accepted`)
  }
})

test('in whatever style the same objects are written, the result means the same and is undone to the byte', async (t) => {
  const styles = [
    { indent: 4 },
    { indentSeq: false },
    { collectionStyle: 'flow' as const },
    { indent: 3, indentSeq: false, flowCollectionPadding: false },
    { defaultStringType: 'QUOTE_DOUBLE' as const, defaultKeyType: 'PLAIN' as const },
  ]
  for (const [nth, name] of names.entries()) {
    const objects = plainOf(read(name, 'in.yaml')).filter((object) => object !== null)
    const expected = plainOf(injectIt(optionsOf(name), read(name, 'in.yaml')).stdout)
    for (const [of, style] of styles.entries()) {
      const texts = objects.map((object) =>
        stringify(object, { ...style, lineWidth: 0, aliasDuplicateObjects: false }),
      )
      const text = texts.join('---\n')
      const ends = [text, text.trimEnd(), text.replaceAll('\n', '\r\n')]
      for (const one of isInFull ? ends : [ends[(nth + of) % ends.length]!]) {
        const { stdout } = injectIt(optionsOf(name), one)
        t.strictSame(
          withoutRecords(plainOf(stdout)),
          withoutRecords(expected),
          `${name} ${JSON.stringify(style)}`,
        )
        t.ok(uninject(stdout, 'f.yaml').text === one, `${name} ${JSON.stringify(style)} undone`)
      }
    }
  }
})

/** A record tells how something was written. */
function withoutRecords(objects: unknown[]): unknown {
  const text = JSON.stringify(
    objects.filter((object) => object !== null),
    (key, value: unknown) => (key === 'sidegate.io/before' ? undefined : value),
  )
  // Blocks of text that end in a line end of Windows do so as YAML reads them, too.
  return JSON.parse(text) as unknown
}
