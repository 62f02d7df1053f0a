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

test('thousands of connections that end in every way leave nothing: no descriptor, timer, record or memory', async (t) => {
  const program = fileURLToPath(new URL('gate-leaks-child.ts', import.meta.url))
  const child = spawn(process.execPath, ['--expose-gc', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => void child.kill('SIGKILL'))
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece))
  const [code] = (await once(child, 'close')) as [number]
  t.equal(code, 0)
  const rounds = text.trim().split('\n').map((line) => JSON.parse(line) as Round)
  t.equal(rounds.length, 4)
  const [, second, third, fourth] = rounds
  for (const reason of ['eof', 'reset', 'connect_refused', 'idle_timeout', 'half_close_timeout', 'lifetime_timeout']) {
    t.ok((second!.ends[reason] ?? 0) > 0, `some ended with ${reason}`)
  }
  for (const [nth, { resources, start, registry }] of rounds.entries()) {
    t.same(leaks(start, resources), [], `after round ${nth + 1}`)
    t.equal(registry, 0)
  }
  // Compiled code and inline caches come and go; a leak of one record would be 300 bytes for each, in every round.
  const growth = (Math.min(third!.heapUsed, fourth!.heapUsed) - second!.heapUsed) / CONNECTIONS
  t.ok(growth < 100, `${growth.toFixed(1)} bytes of heap for each connection`)
  const external = (Math.min(third!.external, fourth!.external) - second!.external) / CONNECTIONS
  t.ok(external < 200, `${external.toFixed(1)} bytes outside the heap for each connection`)
  t.comment(rounds.map(({ heapUsed, external: outside }) => `${heapUsed} ${outside}`).join(' | '))
})
