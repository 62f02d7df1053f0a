// Heads of 16 KB that wait for a place at their service share three quarters of `memory.buffered`, whatever way they come: as requests,
// upgrades, streams of one connection. What is too much is refused at once; a client with an ordinary head waits for its turn among
// them and is served; and the room is free again when they are gone.

import net from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { readSamples } from '../metrics/samples.ts'

const COOKIE = 'c'.repeat(15_800)
const WAIT = { withinMs: 60_000 }
/** Of 2 MiB, three quarters; each of the heads counts for twice what it has over 2 KiB. */
const BUFFERED = 'memory: { buffered: 2MiB }'
/** Fewer upgrades: eight of them reserve room for a read each. */
const FIT = { least: 40, most: 57 }
const ASKED = 80

/** A client: asks once, and resolves with the status of the answer. */
type Ask = (head: 'large' | 'ordinary') => Promise<number>

interface Kind {
  keys: string
  /** `leaves` gets what ends the client at once. */
  open: (t: Test, gate: Gate, leaves: Array<() => void>) => Promise<Ask>
}

const cookieOf = (head: string): string => (head === 'large' ? `Cookie: ${COOKIE}\r\n` : '')

const kinds: Record<string, Kind> = {
  requests: {
    keys: '',
    open: async (t, gate, leaves) => async (head) => {
      const client = await httpClient(t, gate.port)
      leaves.push(() => client.wire.reset())
      const { status } = await client.get(get('/', cookieOf(head)), {}, WAIT)
      client.wire.end()
      return status
    },
  },
  upgrades: {
    keys: '',
    open: async (t, gate, leaves) => async (head) => {
      const wire = await connect(t, gate.port)
      leaves.push(() => wire.reset())
      void wire.write(upgradeRequest({ headers: head === 'large' ? { Cookie: COOKIE } : {} }))
      const answer = (await wire.readUntil('\r\n\r\n', WAIT)).toString()
      wire.end()
      return Number(answer.slice(9, 12))
    },
  },
  streams: {
    keys: ', http: { h2c: on, maxStreams: 200 }',
    open: async (t, gate, leaves) => {
      const socket = net.connect(gate.port, '127.0.0.1')
      const session = await h2Connect(t, gate.port, { options: { createConnection: () => socket } })
      leaves.push(() => void socket.resetAndDestroy())
      return async (head) => (await h2Ask(session, head === 'large' ? { cookie: COOKIE } : {})).status
    },
  },
}

/** Holds the only place until `release`, and answers all who come after. */
async function crowded(t: Test, { keys, open }: Kind, workers: number) {
  let release = (): void => {}
  const isFree = new Promise<void>((resolve) => (release = resolve))
  const service = await recordingUpstream(t, async ({ target }) => {
    if (target === '/hold') await isFree
    return OK
  })
  const listener = (more = ''): string =>
    `protocol: http, upstream: { addresses: ["127.0.0.1:${service.port}"], maxConnections: 1, queueTimeout: 50s }${keys}${more}`
  const gate = await startGate(t, [listener()], { workers }, BUFFERED)
  const holder = await httpClient(t, gate.port)
  const held = holder.get(get('/hold'), {}, WAIT)
  await eventually(() => service.requests.length === 1, WAIT)
  const statuses: number[] = []
  const leaves: Array<() => void> = []
  const flood = async (): Promise<Promise<unknown>[]> => {
    const asks = await Promise.all(Array.from({ length: workers === 1 ? 1 : 8 }, () => open(t, gate, leaves)))
    return Array.from({ length: ASKED }, (_, nth) =>
      asks[nth % asks.length]!('large').then((status) => statuses.push(status)),
    )
  }
  const waiting = async (): Promise<number> =>
    readSamples(await gate.metrics()).sum('sidegate_upstream_queued')
  return {
    gate,
    service,
    listener,
    release,
    held,
    statuses,
    flood,
    waiting,
    ask: async () => open(t, gate, []),
    leaves,
  }
}

type Crowd = Awaited<ReturnType<typeof crowded>>

/** Until each of the flood waits or has got its refusal; returns how many wait. */
async function settled(t: Test, { statuses, waiting }: Crowd): Promise<number> {
  let queued = 0
  await eventually(async () => {
    queued = await waiting()
    return queued > 0 && queued + statuses.length === ASKED
  }, WAIT)
  t.same([...new Set(statuses)], [503])
  t.ok(queued >= FIT.least && queued <= FIT.most, `${queued} wait`)
  return queued
}

for (const workers of [1, 2])
  for (const [name, kind] of Object.entries(kinds))
    test(`${name}: large heads share their room, and an ordinary one is served in its turn; workers: ${workers}`, async (t) => {
      watchLeaks(t, WAIT)
      const crowd = await crowded(t, kind, workers)
      const { gate, statuses, flood, ask, release, held, waiting } = crowd
      const all = await flood()
      const queued = await settled(t, crowd)
      t.equal(await (await ask())('large'), 503, 'one more is refused at once')
      const small = (await ask())('ordinary')
      await eventually(async () => (await waiting()) === queued + 1, WAIT)
      release()
      t.not(await small, 503)
      await Promise.all(all)
      t.equal((await held).status, 200)
      t.equal(statuses.filter((status) => status === 503).length, ASKED - queued)
      await eventually(async () => (await waiting()) === 0, WAIT)
      t.not(await (await ask())('large'), 503, 'the room is free again')
      const samples = readSamples(await gate.metrics())
      t.equal(samples.sum('sidegate_connections_closed_total', { reason: 'internal_error' }), 0)
    })

for (const [name, kind] of Object.entries(kinds)) {
  test(`${name}: a reload changes nothing for the heads that wait, and its room counts for the next`, async (t) => {
    watchLeaks(t, WAIT)
    const crowd = await crowded(t, kind, 1)
    const { gate, statuses, flood, ask, release, listener, waiting } = crowd
    const all = await flood()
    const queued = await settled(t, crowd)
    const reload = async (top: string): Promise<unknown> =>
      t.match(await gate.reload([listener(', limits: { connectionsPerClient: 500 }')], top), {
        result: 'success',
      })
    await reload('memory: { buffered: 1MiB }')
    t.equal(await (await ask())('large'), 503, 'less room')
    t.equal(await waiting(), queued, 'all wait on')
    await reload('memory: { buffered: 4MiB }')
    // The memory watch has to look first.
    let late = Promise.resolve(0)
    const hasRoom = async (): Promise<boolean> => {
      let isRefused = false
      late = (await ask())('large')
      void late.then((status) => (isRefused = status === 503))
      await eventually(async () => isRefused || (await waiting()) > queued, WAIT)
      return !isRefused
    }
    await eventually(hasRoom, { ...WAIT, what: 'more room' })
    release()
    await Promise.all(all)
    t.not(await late, 503)
    t.equal(statuses.filter((status) => status === 503).length, ASKED - queued)
  })

  test(`${name}: a drain serves the heads that wait`, async (t) => {
    watchLeaks(t, WAIT)
    const crowd = await crowded(t, kind, 1)
    const { gate, statuses, flood, ask, release } = crowd
    const all = await flood()
    const queued = await settled(t, crowd)
    const small = (await ask())('ordinary')
    await eventually(async () => (await crowd.waiting()) === queued + 1, WAIT)
    const drained = gate.drain(50_000)
    await eventually(
      async () => (await fetch(`http://127.0.0.1:${gate.healthPort}/readyz`)).status === 503,
      WAIT,
    )
    release()
    await Promise.all(all)
    t.equal(statuses.filter((status) => status === 503).length, ASKED - queued)
    t.not(await small, 503)
    t.match(await drained, { forced: 0 })
  })
}

// An upgrade for which there is no room to read is not read before its turn: the sweep looks whether its client is there.
for (const [name, kind] of Object.entries(kinds))
  test(`${name}: clients that leave give the room of their heads back`, async (t) => {
    watchLeaks(t, WAIT)
    const crowd = await crowded(t, kind, 1)
    const { flood, ask, release, waiting, leaves } = crowd
    const all = (await flood()).map((one) => one.catch(() => {}))
    await settled(t, crowd)
    for (const leave of leaves) leave()
    await eventually(async () => (await waiting()) === 0, WAIT)
    const late = (await ask())('large')
    await eventually(async () => (await waiting()) === 1, WAIT)
    release()
    t.not(await late, 503)
    await Promise.all(all)
  })
