import { test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { leaks, type Resources } from '../support/leaks.ts'

interface Round {
  heapUsed: number
  external: number
  resources: Resources
  start: Resources
  registry: number
  ends: Record<string, number>
}

const CONNECTIONS = 2000

test(
  'thousands of connections that end in every way leave nothing: no descriptor, timer, record or memory',
  { timeout: 110_000 },
  async (t) => {
    const program = fileURLToPath(new URL('gate-leaks-child.ts', import.meta.url))
    const child = spawn(process.execPath, ['--expose-gc', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => void child.kill('SIGKILL'))
    let text = ''
    child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece))
    const [code] = (await once(child, 'close')) as [number]
    t.equal(code, 0)
    const rounds = text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Round)
    t.equal(rounds.length, 6)
    for (const reason of [
      'eof',
      'reset',
      'connect_refused',
      'idle_timeout',
      'half_close_timeout',
      'lifetime_timeout',
    ]) {
      t.ok((rounds[1]!.ends[reason] ?? 0) > 0, `some ended with ${reason}`)
    }
    for (const [nth, { resources, start, registry }] of rounds.entries()) {
      t.same(leaks(start, resources), [], `after round ${nth + 1}`)
      t.equal(registry, 0)
    }
    // V8 throws compiled code away when it has not been run for a few collections: megabytes less, once. A leak of one record
    // would be 600 KB more in every round.
    for (const kind of ['heapUsed', 'external'] as const) {
      const least = (some: Round[]): number => Math.min(...some.map((round) => round[kind]))
      const growth = least(rounds.slice(3)) - least(rounds.slice(0, 3))
      t.ok(
        growth < 1_000_000,
        `${kind} grew by ${growth} bytes in three rounds of ${CONNECTIONS} connections`,
      )
    }
    t.comment(rounds.map(({ heapUsed, external: outside }) => `${heapUsed} ${outside}`).join(' | '))
  },
)
