import { test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { ConfigError } from '../../src/core/errors.ts'
import { uninject } from '../../src/inject/undo.ts'
import { runs } from '../support/runs.ts'
import { injectIt, names, read } from './snapshots.ts'

const RUNS = runs(250)

/** The same numbers for the same seed, below a bound. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return Math.floor((state / 0x8000_0000) * below)
  }
}

/** What hands do to a file, and what they forget. */
const mangles: ((lines: string[], at: number) => void)[] = [
  (lines, at) => void lines.splice(at, 1),
  (lines, at) => void lines.splice(at, 0, '      # a comment: with [things]'),
  (lines, at) => void lines.splice(at, 0, ''),
  (lines, at) => (lines[at] += '   # behind'),
  (lines, at) => (lines[at] += '  '),
  (lines, at) => (lines[at] = lines[at]!.replace(/: .*/, ':')),
  (lines, at) => (lines[at] = lines[at]!.replace(/: .*/, ': {}')),
  (lines, at) => (lines[at] = lines[at]!.replace(/: .*/, ': []')),
  (lines, at) => (lines[at] = lines[at]!.replace(/: .*/, ': 1')),
]

test('a mangled manifest is refused by its place, or becomes YAML that changes no more and is undone to the byte', async (t) => {
  const seed = Number(process.env['SEED'] ?? 1)
  const random = numbers(seed)
  let done = 0
  for (let run = 0; run < RUNS; run++) {
    const lines = read(names[random(names.length)]!, 'in.yaml').split('\n')
    for (let count = random(4); count >= 0; count--)
      mangles[random(mangles.length)]!(lines, random(lines.length))
    const text = lines.join('\n')
    const what = `run ${run} of seed ${seed}:\n${text}`
    try {
      const { stdout } = injectIt([], text)
      done++
      t.ok(uninject(stdout, 'f.yaml').text === text, `undone, ${what}`)
      t.ok(injectIt([], stdout).stdout === stdout, `done twice, ${what}`)
      t.ok(
        parseAllDocuments(stdout).every(({ errors }) => errors.length === 0),
        `YAML, ${what}`,
      )
    } catch (error) {
      if (!(error instanceof ConfigError)) throw new Error(what, { cause: error })
    }
  }
  t.ok(done > RUNS / 4 && done < RUNS, `${done} were injected`)
})
