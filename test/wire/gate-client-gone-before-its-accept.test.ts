import { test, type Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'

/** Connects, says `words` and resets, all while this process, and so the gate, stands still. */
function hitAndRun(port: number, words: string): void {
  const script = `require('node:net').connect(${port}, '127.0.0.1', function () { this.write(${JSON.stringify(words)}, () => this.resetAndDestroy()) })`
  execFileSync(process.execPath, ['-e', script], { env: {} })
}

const REQUEST = 'GET /secret HTTP/1.1\r\nHost: a\r\n\r\n'

async function scene(t: Test, keys: string) {
  watchLeaks(t)
  let dials = 0
  const upstream = await listen(t, () => void dials++)
  const gate = await startGate(t, [`${keys}, upstream: "127.0.0.1:${upstream.port}"`])
  return {
    gate,
    dials: () => dials,
    rejected: async (reason: string) =>
      readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
        listener: 'l0',
        reason,
      }),
  }
}

// The kernel has forgotten the address of such a client, and still holds its bytes.
for (const [what, keys, words] of [
  ['whom access.deny names', 'protocol: tcp, access: { deny: [127.0.0.0/8] }', 'hello'],
  ['whom access.allow does not name', 'protocol: tcp, access: { allow: [10.0.0.0/8] }', 'hello'],
  ['whom access.deny names, over HTTP,', 'protocol: http, access: { deny: [127.0.0.0/8] }', REQUEST],
  [
    'whose PROXY header nobody trusts',
    'protocol: tcp, proxyProtocol: { accept: any, trusted: [10.0.0.0/8] }, access: { allow: [10.0.0.0/8] }',
    'PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nhello',
  ],
] as const) {
  test(`a client ${what} and that was gone before its accept reaches no upstream`, async (t) => {
    const { gate, dials, rejected } = await scene(t, keys)
    hitAndRun(gate.port, words)
    await eventually(async () => (await rejected('reset')) === 1)
    t.same([dials(), gate.registry.size, gate.lines.length], [0, 0, 0])
  })
}

test('places of clients that were gone before their accept are free again, and who stays is served', async (t) => {
  const { gate, dials, rejected } = await scene(t, 'protocol: tcp, limits: { connections: 1 }')
  for (let nth = 1; nth <= 3; nth++) {
    hitAndRun(gate.port, 'hello')
    await eventually(async () => (await rejected('reset')) === nth)
  }
  await connect(t, gate.port)
  await eventually(() => dials() === 1)
  t.equal(await rejected('too_many'), 0)
})
