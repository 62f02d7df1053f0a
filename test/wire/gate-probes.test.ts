import { test } from 'tap'
import type { RecentEnd } from '../../src/admin/types.ts'
import { ask } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

for (const protocol of ['tcp', 'http']) {
  test(`${protocol}: a load balancer that looks whether the port is there is counted and not logged, whether it says FIN or RST; a client that spoke is logged`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const listener = `protocol: ${protocol}, upstream: "127.0.0.1:${upstream.port}"`
    const gate = await startGate(t, [listener])
    const closed = async (): Promise<number> => {
      const samples = readSamples(await gate.metrics())
      return ['eof', 'reset', 'aborted'].reduce(
        (sum, reason) =>
          sum +
          (samples.get('sidegate_connections_closed_total', {
            listener: 'l0',
            protocol,
            side: 'client',
            reason,
          }) ?? 0),
        0,
      )
    }
    const probe = async (by: 'end' | 'reset', nth: number): Promise<void> => {
      const client = await connect(t, gate.port)
      await eventually(() => gate.registry.size === 1)
      client[by]()
      await eventually(async () => (await closed()) === nth)
    }
    await gate.reload([listener], 'log: { probes: false }')
    await probe('end', 1)
    await probe('reset', 2)
    t.same(gate.lines, [])
    await gate.reload([listener], 'log: { probes: true }')
    await probe('end', 3)
    t.match(await gate.end(), { reason: 'eof', side: 'client' })
    await gate.reload([listener], 'log: { probes: false }')
    const client = await connect(t, gate.port)
    void client.write('GET')
    if (protocol === 'tcp') await client.read(3)
    client.end()
    await within(client.closed)
    await gate.end(1)
  })
}

for (const gateOfAdmission of ['TLS', 'a PROXY header', 'TLS behind a PROXY header'] as const)
  test(`a load balancer that leaves where ${gateOfAdmission} is due is counted and neither logged nor remembered; a client that spoke is`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const { cert, key } = authority(t).issue('gate')
    const tls = `tls: { cert: "${cert}", key: "${key}" }`
    const proxy = 'proxyProtocol: { accept: v1, trusted: [127.0.0.0/8] }'
    const header = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n'
    const { keys, silence, word } = {
      TLS: { keys: tls, silence: '', word: '\x16\x03\x01' },
      'a PROXY header': { keys: proxy, silence: '', word: 'PROXY TCP' },
      'TLS behind a PROXY header': {
        keys: `${tls}, ${proxy}`,
        silence: header,
        word: `${header}\x16\x03\x01`,
      },
    }[gateOfAdmission]
    const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${keys}`
    const gate = await startGate(t, [listener])
    const refused = async (): Promise<number> =>
      readSamples(await gate.metrics()).sum('sidegate_connections_rejected_total', { listener: 'l0' })
    const remembered = async (): Promise<string[]> => {
      const { body } = await ask(gate.adminPort, '/recent', {}, 'GET')
      return (JSON.parse(body) as RecentEnd[]).map(({ reason }) => reason)
    }
    const probe = async (by: 'end' | 'reset', first: string, nth: number): Promise<void> => {
      const client = await connect(t, gate.port)
      await client.write(first)
      client[by]()
      await eventually(async () => (await refused()) === nth)
    }
    await gate.reload([listener], 'log: { probes: false }')
    await probe('end', silence, 1)
    await probe('reset', silence, 2)
    t.same(await remembered(), [])
    await probe('end', word, 3)
    t.same(await remembered(), ['aborted'])
    await gate.reload([listener], 'log: { probes: true }')
    await probe('end', silence, 4)
    await eventually(async () => (await remembered()).includes('eof'))
  })
