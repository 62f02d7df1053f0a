import { test } from 'tap'
import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { cannotLimitMemory, limitedMemory } from '../support/cgroup.ts'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import { configFile, freePorts, get, runFile } from '../system/program.ts'
import type { Program } from '../system/program.ts'

const MIB = 1024 * 1024
const LIMIT = 256 * MIB
const READERS = 2000
const PRESSED_MS = 2000
const CLOSED = 'sidegate_connections_closed_total'
const script = fileURLToPath(new URL('../support/stalled-readers.py', import.meta.url))

interface Readers {
  servicePort: number
  go(): void
  stop(): void
}

async function stalledReaders(t: Test, count: number, port: number): Promise<Readers> {
  const child = spawn('python3', [script, String(count), String(port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  t.teardown(() => {
    child.stdin.end()
    return exited
  })
  const lines = createInterface(child.stdout)
  lines.on('line', (line) => t.comment(line))
  const [first] = (await once(lines, 'line')) as [string]
  return {
    servicePort: Number(first),
    go: () => void child.stdin.write('go\n'),
    stop: () => void child.stdin.write('stop\n'),
  }
}

/** Asks for liveness again and again until the test stops it, and resolves with the time of each answer, sorted. */
async function askLiveness(program: Program, until: AbortSignal): Promise<number[]> {
  const took: number[] = []
  for (; !until.aborted; await delay(50)) {
    const start = performance.now()
    const status = await program.status('/livez')
    if (status !== 200) throw new Error(`/livez answered ${status}`)
    took.push(performance.now() - start)
  }
  return took.sort((one, other) => one - other)
}

test(
  'in 256 MiB 2000 stalled readers are overloaded, the process lives, tells, refuses, and recovers',
  { skip: cannotLimitMemory(), timeout: 110_000 },
  async (t) => {
    const memory = limitedMemory(t, LIMIT)
    const [health = 0, admin = 0, tcp = 0, http = 0, small = 0] = freePorts(5)
    const readers = await stalledReaders(t, READERS, tcp)
    const answers = await echo(t)
    const file = configFile(
      t,
      `health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
drain: { minDuration: off, spread: off, timeout: 10s, tcp: spread }
listeners:
  - { name: flood, address: "127.0.0.1:${tcp}", protocol: tcp, upstream: "127.0.0.1:${readers.servicePort}" }
  - { name: web, address: "127.0.0.1:${http}", protocol: http, upstream: "127.0.0.1:${answers.port}" }
  - { name: echo, address: "127.0.0.1:${small}", protocol: tcp, upstream: "127.0.0.1:${answers.port}" }
`,
    )
    const program = await runFile(t, file, {
      under: [...memory.under, 'env', 'NODE_OPTIONS=--max-old-space-size-percentage=50'],
      ports: [health, admin, tcp],
    })
    t.equal((await program.metrics()).get('sidegate_memory_limit_bytes'), LIMIT)
    const inside = await connect(t, small)
    readers.go()
    const pressed = new AbortController()
    const asking = askLiveness(program, pressed.signal)
    asking.catch(() => {}) // if another step has failed before
    await eventually(async () => (await get(http, '/').catch(() => null))?.body.startsWith('overloaded'), {
      what: 'a new request to be refused with 503 overloaded',
      withinMs: 30_000,
    })
    // The gate ends its queues after two looks into the kernel, which take long where it has many sockets.
    const ended = async (): Promise<number> =>
      (await program.metrics()).get(CLOSED, { listener: 'flood', reason: 'overloaded' }) ?? 0
    await eventually(async () => (await ended()) > 0, {
      what: 'stalled readers to end as overloaded',
      withinMs: 30_000,
    })
    await delay(PRESSED_MS)
    pressed.abort()
    const took = await asking
    const under = await program.metrics()
    t.comment(
      `/livez took ${took[took.length >> 1]!.toFixed(0)} ms in the median, ${took.at(-1)!.toFixed(0)} ms at most`,
    )
    t.ok(took[took.length >> 1]! < 500, 'in the median within half a second')
    t.comment(
      `usage ${(under.get('sidegate_memory_usage_bytes')! / MIB).toFixed(0)} MiB, ${under.get(CLOSED, { listener: 'flood', reason: 'overloaded' })} overloaded`,
    )
    await inside.write('alive')
    t.equal((await inside.read(5)).toString(), 'alive')
    readers.stop()
    await eventually(async () => (await program.status('/readyz')) === 200, {
      what: 'it to be ready again',
      withinMs: 15_000,
    })
    await eventually(
      async () =>
        (await program.metrics()).get('sidegate_connections', { listener: 'flood', side: 'client' }) === 0,
      { what: 'all of them to be gone', withinMs: 60_000 },
    )
    const after = await connect(t, small)
    await after.write('again')
    t.equal((await after.read(5)).toString(), 'again')
    t.equal(memory.kills(), 0, 'the kernel has killed nobody')
    inside.reset()
    program.child.kill('SIGTERM')
    t.equal(await within(program.exited, { withinMs: 15_000 }), 0)
  },
)
