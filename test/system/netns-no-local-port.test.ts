import { execFileSync } from 'node:child_process'
import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { GATE_FOR_CLIENT } from '../support/netns.ts'
import { readSamples } from '../metrics/samples.ts'
import { echo, LONG, options, scene, talker } from './netns-scene.ts'

const ports = 4
const more = 3
/** Opens as many connections as its argument says, each after the answer or the end of the one before, and keeps them. */
const clients = `
  const left = Number(process.argv[1])
  const open = (left) => {
    if (left === 0) return console.log('done')
    const s = require('net').connect(8000, '${GATE_FOR_CLIENT}', () => s.write('hello'))
    const next = (word) => (console.log(word), open(left - 1))
    s.once('data', () => next('answered')).once('error', () => next('refused'))
  }
  open(left)`

test(
  'dials for which no local port is left fail with EADDRNOTAVAIL and are counted; those that stand go on',
  options,
  async (t) => {
    const { net, gate } = await scene(t, 'tcp', '', { upstream: [echo], client: null })
    const onGate = (command: string): string => {
      const [program, ...args] = [...net.under('gate'), 'sh', '-c', command]
      return execFileSync(program, args, { encoding: 'utf8' })
    }
    onGate(`echo 40000 ${40_000 + ports - 1} > /proc/sys/net/ipv4/ip_local_port_range`)
    const client = net.run('client', clients, String(ports + more))
    await client.said('done', LONG)
    const outcomes = client.lines.filter((line) => line !== 'done')
    t.same(outcomes, [...Array(ports).fill('answered'), ...Array(more).fill('refused')])
    const ended = (): string[] => gate.lines.filter((line) => line.includes('"connection closed"'))
    await eventually(() => ended().length === more, { what: 'the lines of those that were refused' })
    for (const line of ended())
      t.match(JSON.parse(line), { close: 'connect_failed', side: 'upstream', detail: /EADDRNOTAVAIL/ })
    const samples = readSamples(onGate('curl -s http://127.0.0.1:17021/metrics'))
    t.ok(samples.get('sidegate_upstream_no_local_port_total', { listener: 'l0' })! >= more)
    t.equal(samples.get('sidegate_connections', { listener: 'l0', protocol: 'tcp', side: 'upstream' }), ports)
  },
)

test(
  'health checks for which no local port is left end nothing of what stands at a healthy address',
  options,
  async (t) => {
    const upstreamKeys = 'healthCheck: { type: tcp, interval: 100ms, unhealthy: 2 }'
    const { net, gate } = await scene(t, 'tcp', '', { upstream: [echo], client: talker, upstreamKeys })
    const onGate = (command: string): string => {
      const [program, ...args] = [...net.under('gate'), 'sh', '-c', command]
      return execFileSync(program, args, { encoding: 'utf8' })
    }
    const checks = (result: string): number =>
      readSamples(onGate('curl -s --local-port 30000-39000 http://127.0.0.1:17021/metrics')).get(
        'sidegate_upstream_health_checks_total',
        {
          result,
        },
      )!
    await eventually(() => checks('passed') > 0, { what: 'a check that passes', ...LONG })
    // The first check takes the only port, which the kernel keeps for a minute.
    onGate('echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range')
    await eventually(() => checks('failed') >= 5, { what: 'checks that fail', ...LONG })
    t.notMatch(gate.lines.join('\n'), /unhealthy|connection closed/)
    t.match(
      onGate('curl -s --local-port 30000-39000 http://127.0.0.1:17020/upstreams'),
      /"state": "healthy"[^]*EADDRNOTAVAIL/,
    )
  },
)
