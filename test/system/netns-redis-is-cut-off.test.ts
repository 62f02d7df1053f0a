// The network between gates and their Redis breaks silently: the effects on clients, for how long, and that
// relayed bytes never wait for Redis. The service runs beside the gates, Redis on the host behind them.

import { execFileSync, spawn } from 'node:child_process'
import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { GATE_FOR_CLIENT, network, UPSTREAM } from '../support/netns.ts'
import type { Network, Peer } from '../support/netns.ts'
import { needs, temporary } from '../support/tools.ts'
import { echo, options } from './netns-scene.ts'
import { configFile, runFile } from './program.ts'

const MAX = 6
const PORTS = [8000, 8001] as const
/** Much longer than anything else takes: an echo that waited for Redis would stand out. */
const TIMEOUT_MS = 2000

/** Prints the time of each echo, a hundred a second, for as long as it lives. */
const pinger = `
  const s = require('net').connect({ port: ${PORTS[0]}, host: '${GATE_FOR_CLIENT}', noDelay: true }, () => ask())
  let since = 0
  const ask = () => { since = performance.now(); s.write('hello') }
  s.on('data', () => { console.log('took', Date.now(), (performance.now() - since).toFixed(2)); setTimeout(ask, 10) })
  s.on('close', () => console.log('ended')).on('error', () => {})`
/** Opens connections by that port until three in a row are refused, and keeps them. */
const opener = `
  const port = Number(process.argv[1])
  let served = 0, refused = 0, longest = 0
  const open = () => {
    if (refused === 3 || served === 20) return console.log('served', served, longest.toFixed(0))
    const since = performance.now()
    let isIn = false
    const s = require('net').connect(port, '${GATE_FOR_CLIENT}', () => s.write('?'))
    const done = () => { longest = Math.max(longest, performance.now() - since); open() }
    s.once('data', () => { isIn = true; served++; refused = 0; done() })
    s.on('error', () => {}).once('close', () => { if (!isIn) { refused++; done() } else console.log('lost') })
  }
  open()`

interface Scene {
  net: Network
  /** A figure of each gate. */
  figures(name: string): Array<number | undefined>
  opened(port: number): Promise<{ served: number; longestMs: number; peer: Peer }>
}

async function scene(t: Test): Promise<Scene> {
  const net = network(t)
  const [program, ...args] = [
    ...net.under('upstream'),
    'redis-server',
    '--bind',
    UPSTREAM,
    '--protected-mode',
    'no',
  ]
  const redis = spawn(program, [...args, '--dir', temporary(t), '--save', '', '--appendonly', 'no'], {
    stdio: 'ignore',
  })
  t.teardown(() => void redis.kill('SIGKILL'))
  await net.run('gate', echo).said('listening')
  const fleet = `limits: { connectionsPerClient: { max: ${MAX}, scope: fleet }, bytes: { rate: 1MiB, per: client, scope: fleet } }`
  for (const [nth, port] of PORTS.entries()) {
    const yaml = `shared: { redis: { address: "${UPSTREAM}:6379", timeout: ${TIMEOUT_MS}ms } }
health: { address: "127.0.0.1:${17_021 + 10 * nth}" }
admin: { address: "127.0.0.1:${17_020 + 10 * nth}" }
listeners: [{ name: l0, address: "${GATE_FOR_CLIENT}:${port}", protocol: tcp, upstream: "127.0.0.1:9000", ${fleet} }]\n`
    const gate = await runFile(t, configFile(t, yaml), { under: net.under('gate'), isAsked: false })
    await eventually(() => gate.lines.some((line) => line.includes('"started"')), {
      what: 'a gate',
      withinMs: 20_000,
    })
  }
  const figures = (name: string): Array<number | undefined> =>
    PORTS.map((_, nth) => {
      const [command, ...rest] = [
        ...net.under('gate'),
        'curl',
        '-s',
        `http://127.0.0.1:${17_021 + 10 * nth}/metrics`,
      ]
      return readSamples(execFileSync(command, rest, { encoding: 'utf8' })).get(name)
    })
  return {
    net,
    figures,
    opened: async (port) => {
      const peer = net.run('client', opener, String(port))
      const [, served, longestMs] = (await peer.said('served', { withinMs: 60_000 })).split(' ').map(Number)
      return { served: served!, longestMs: longestMs!, peer }
    },
  }
}

const leave = async ({ peer }: { peer: Peer }): Promise<void> => {
  peer.child.kill('SIGKILL')
  await eventually(() => peer.child.signalCode !== null, { what: 'an end' })
}

const cuts: Record<string, { cut(net: Network): void; heal(net: Network): void }> = {
  'its link is down': { cut: (net) => net.vanish('upstream'), heal: (net) => net.heal('upstream') },
  'a firewall drops what goes there': {
    cut: (net) => net.lose('upstream', 1),
    heal: (net) => {
      const [program, ...args] = [...net.under('upstream'), 'iptables', '-w', '-F', 'INPUT']
      execFileSync(program, args)
    },
  },
}

for (const [title, { cut, heal }] of Object.entries(cuts))
  test(
    `Redis is out of reach (${title}): who is there is relayed as ever, newcomers get the share of their gate, and then the limit is one again`,
    { ...needs('redis-server', 'iptables'), ...options, timeout: 180_000 },
    async (t) => {
      const { net, figures, opened } = await scene(t)
      const all = (name: string, value: number): Promise<boolean> =>
        eventually(() => figures(name).every((figure) => figure === value), {
          what: `${name} to be ${value}`,
          withinMs: 40_000,
        })
      await all('sidegate_shared_up', 1)
      await all('sidegate_shared_gates', 2)
      const ping = net.run('client', pinger)
      await ping.said('took')
      // Spare places of the other gate are given back after a second.
      await eventually(
        async () => {
          const one = await opened(PORTS[1])
          await leave(one)
          return one.served === MAX - 1
        },
        { what: 'the limit, with the one that pings', withinMs: 30_000 },
      )

      const cutAt = Date.now()
      cut(net)
      // They come before any gate has noticed it.
      const first = await opened(PORTS[1])
      await all('sidegate_shared_up', 0)
      const knownMs = Date.now() - cutAt
      t.ok(first.longestMs < 2 * TIMEOUT_MS + 1500, `a newcomer waited ${first.longestMs} ms at the most`)
      await leave(first)
      const [here, there] = [await opened(PORTS[0]), await opened(PORTS[1])]
      t.same(
        [here.served, there.served],
        [MAX / 2 - 1, MAX / 2],
        'the share of each, with the one that pings',
      )
      t.ok(here.longestMs < TIMEOUT_MS && there.longestMs < TIMEOUT_MS, 'and nobody waits any more')

      const healedAt = Date.now()
      heal(net)
      await all('sidegate_shared_up', 1)
      const backMs = Date.now() - healedAt
      await all('sidegate_shared_gates', 2)
      const more = await opened(PORTS[1])
      t.equal(more.served, 0, 'one limit, with all that are there')
      t.notOk(
        [ping, here.peer, there.peer].some(({ lines }) => lines.includes('lost') || lines.includes('ended')),
      )

      const took = ping.lines.map((line) => line.split(' ').map(Number)).filter(([, at]) => at! > 0)
      const away = took.filter(([, at]) => at! >= cutAt && at! < healedAt).map(([, , ms]) => ms!)
      const calm = took.filter(([, at]) => at! < cutAt).map(([, , ms]) => ms!)
      t.ok(away.length > 100, `${away.length} echoes`)
      t.ok(p99(away) < TIMEOUT_MS / 2, `${p99(away)} ms: they do not wait for Redis`)
      t.comment(
        `noticed after ${knownMs} ms, back after ${backMs} ms; echoes p99 ${p99(calm)} ms before, ${p99(away)} ms while it was away, at most ${Math.max(...away)} ms`,
      )
    },
  )

function p99(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * 0.99)]!
}
