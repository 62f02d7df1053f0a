import { test } from 'tap'
import type { Test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp } from './admin.ts'
import type { Row } from './admin.ts'

const ids = (rows: Row[]): unknown[] => rows.map(({ id }) => id)

async function three(t: Test) {
  const it = await setUp(t)
  const idleFor = (ms: number) => ({ activeAt: () => performance.now() - ms })
  const young = it.open('app', 10, { queuedForClient: 500, client: '10.0.0.7:1', owner: idleFor(9) })
  const old = it.open('app', 1000, {
    queuedForClient: 1,
    client: '[2001:db8::7]:2',
    owner: idleFor(500),
    protocol: 'http',
  })
  const other = it.open('raw', 500, {
    queuedForClient: 900,
    client: '10.0.0.70:3',
    owner: idleFor(400),
    protocol: 'tcp',
  })
  old.upstreamAddress = '127.0.0.1:8080'
  old.phase = 'relay'
  return { ...it, young: young.id, old: old.id, other: other.id }
}

test('connections are sorted by age, time without data, or what waits for them', async (t) => {
  const { rows, young, old, other } = await three(t)
  t.same(ids(await rows('/connections')), [old, other, young])
  t.same(ids(await rows('/connections?sort=age')), [old, other, young])
  t.same(ids(await rows('/connections?sort=buffered')), [other, young, old])
  t.same(ids(await rows('/connections?sort=idle')), [old, other, young])
  t.same(ids(await rows('/connections?sort=buffered&limit=1&listener=app')), [young])
})

test('connections are filtered by each of their words, and by an address with or without its port', async (t) => {
  const { rows, young, old, other } = await three(t)
  const table: [string, unknown[]][] = [
    ['listener=app', [old, young]],
    ['protocol=tcp', [other]],
    ['protocol=http', [old]],
    ['phase=relay', [old]],
    ['phase=close', []],
    ['client=10.0.0.7', [young]],
    ['client=10.0.0.7:1', [young]],
    ['client=10.0.0.7:2', []],
    ['client=10.0.0.0/24', [other, young]],
    ['client=10.0.0.0/26', [young]],
    ['client=2001:db8::/32', [old]],
    ['client=2001:0DB8::7', [old]],
    ['client=192.0.2.0/24', []],
    ['client=2001:db8::7', [old]],
    ['client=%5B2001:db8::7%5D:2', [old]],
    ['upstream=127.0.0.1:8080', [old]],
    ['upstream=127.0.0.1', [old]],
    ['upstream=unix:/run/app.sock', []],
    ['upstream=%5B::1%5D:80', []],
    ['listener=app&protocol=websocket', [young]],
  ]
  for (const [query, expected] of table) t.same(ids(await rows(`/connections?${query}`)), expected, query)
})

test('a question that is not understood is refused, not answered otherwise', async (t) => {
  const { get } = await setUp(t)
  for (const query of [
    'limit=0',
    'limit=-1',
    'limit=x',
    'limit=99999',
    'sort=size',
    'sorted=age',
    'protocol=udp',
    'phase=relaying',
    'sort=age&sort=idle',
    'upstream=zz',
    'upstream=app.svc:80',
    'upstream=10.0.0.0/8',
  ]) {
    const { status, body } = await get(`/connections?${query}`)
    t.equal(status, 400, query)
    t.type((JSON.parse(body) as Row)['error'], 'string')
  }
})

test('the answer is JSON whatever is open: none, one, a slice, and more than a slice', async (t) => {
  const { rows, open } = await setUp(t)
  let opened = 0
  for (const count of [0, 1, 2, 100, 101, 500, 501, 1700]) {
    while (opened < count) open('app', ++opened)
    t.equal((await rows('/connections?limit=10000')).length, count)
    t.equal((await rows('/connections')).length, Math.min(100, count))
  }
})

test('the weightiest are found among many more than are shown', async (t) => {
  const { rows, open } = await setUp(t)
  for (let nth = 0; nth < 4000; nth++) open('app', 1, { queuedForClient: (nth * 7919) % 4000 })
  t.same(
    (await rows('/connections?sort=buffered&limit=3')).map(
      ({ queued }) => (queued as { client: number }).client,
    ),
    [3999, 3998, 3997],
  )
})

test('a rate is what moved between two looks, told from the second one on', async (t) => {
  const clock = fakeClock()
  const { rows, row, open } = await setUp(t, { clock })
  const [fast, slow] = [open('app', 100), open('app', 100)]
  // The server is real, its clock is not: the test gives a turn to all that wait for one.
  const look = async (path: string): Promise<Row[]> => {
    const asked = rows(path)
    const stop = setInterval(() => void clock.pass(0), 1)
    return asked.finally(() => clearInterval(stop))
  }
  t.same(
    (await look('/connections')).map(({ bytesPerSec }) => bytesPerSec),
    [null, null],
  )
  fast.toUpstream.received = 3000
  fast.toClient.received = 1000
  await clock.pass(1000)
  t.same(
    (await look('/connections?sort=rate')).map(({ id, bytesPerSec }) => [id, bytesPerSec]),
    [
      [fast.id, 4000],
      [slow.id, 0],
    ],
  )
  const young = open('app', 0)
  young.toClient.received = 500
  await clock.pass(500)
  t.same(
    (await look('/connections?sort=rate')).map(({ id, bytesPerSec }) => [id, bytesPerSec]),
    [
      [fast.id, Math.round(4000 / 1.5)],
      [young.id, 1000],
      [slow.id, 0],
    ],
  )
  t.equal((await row(`/connections/${fast.id}`))['bytesPerSec'], 2667)
  await clock.pass(10_000)
  t.same(
    (await look('/connections')).map(({ bytesPerSec }) => bytesPerSec),
    [null, null, null],
    'who was not watched for ten seconds is forgotten',
  )
})

test('one in full tells what it waits for, which deadline comes next, and when', async (t) => {
  const clock = fakeClock()
  const { row, open } = await setUp(t, { clock })
  const next = {
    key: 'deadlines.write',
    reason: 'write_timeout',
    side: 'client',
    at: clock.now() + 12_000,
  } as const
  const describe = () => ({ state: 'open', waitsFor: 'the client to take 12 KiB', next })
  const { id } = open('app', 5000, {
    owner: { describe, isPaused: (direction) => direction === 'to_client' },
  })
  t.match(await row(`/connections/${id}`), {
    openedAt: new Date(clock.wall() - 5000).toISOString(),
    connectedAt: null,
    paused: { toUpstream: false, toClient: true },
    state: 'open',
    waitsFor: 'the client to take 12 KiB',
    nextDeadline: {
      key: 'deadlines.write',
      reason: 'write_timeout',
      side: 'client',
      inMs: 12_000,
      at: new Date(clock.wall() + 12_000).toISOString(),
    },
  })
  const untold = open('app', 1)
  t.match(await row(`/connections/${untold.id}`), { state: null, waitsFor: null, nextDeadline: null })
})

test('a connection that is deleted ends with killed; one that is gone is not found', async (t) => {
  const { get, open } = await setUp(t)
  const ends: Close[] = []
  const connection = open('app', 1, { owner: { close: (close) => void ends.push((connection.end = close)) } })
  const { status, body } = await get(`/connections/${connection.id}`, {}, 'DELETE')
  t.match(
    { status, body: JSON.parse(body) as Row },
    {
      status: 200,
      body: { id: connection.id, client: '10.0.0.1:0', close: { reason: 'killed', side: 'sidegate' } },
    },
  )
  t.match(ends, [{ reason: 'killed', side: 'sidegate', phase: 'admit', detail: 'by an operator' }])
  for (const id of ['999', 'x', '1e0'])
    t.equal((await get(`/connections/${id}`, {}, 'DELETE')).status, 404, id)
})

test('one that was ending already keeps its reason, and the answer says so', async (t) => {
  const { get, open } = await setUp(t)
  const connection = open('app', 1)
  connection.end = makeClose('drain', 'sidegate', 'relay')
  t.match(JSON.parse((await get(`/connections/${connection.id}`, {}, 'DELETE')).body), {
    close: { reason: 'drain' },
  })
})

test('who has no connection is none, and what is no client or no listener is a mistake', async (t) => {
  const { get, rows, open } = await three(t)
  t.same(await rows('/connections?client=192.0.2.1'), [])
  for (const client of [
    '10.0.0',
    '10.0.0.7:',
    '10.0.0.0/33',
    'example.com',
    '',
    '10.0.0.7:99999999',
    '10.0.0.7:65536',
  ])
    t.match(
      await get(`/connections?client=${client}`),
      { status: 400, body: /client must be an address/ },
      client,
    )
  t.match(await get('/connections?listener=ap'), {
    status: 400,
    body: /no such listener, known are app, raw/,
  })
  open('removed', 1)
  t.equal(
    (await rows('/connections?listener=removed')).length,
    1,
    'one that a reload removed has connections still',
  )
})

test('connections are filtered by where they are, and stalled is who takes nothing', async (t) => {
  const { rows, open, get } = await setUp(t)
  const now = performance.now()
  const wait = (state: string) => ({ describe: () => ({ state, waitsFor: 'x', next: null }) })
  const idle = open('app', 10, { owner: wait('idle') }).id
  const slow = open('app', 9, { queuedForClient: 5, owner: { ...wait('open'), lastDrainAt: () => now } }).id
  const stalled = open('app', 8, {
    queuedForClient: 5,
    owner: { ...wait('open'), lastDrainAt: () => now - 5000 },
  }).id
  t.same(ids(await rows('/connections?state=idle')), [idle])
  t.same(ids(await rows('/connections?state=open')), [slow, stalled])
  t.same(ids(await rows('/connections?state=stalled')), [stalled])
  t.equal((await get('/connections?state=asleep')).status, 400)
})

test('rows tell what each waits for where that is asked for', async (t) => {
  const { rows, open, get } = await setUp(t)
  const clock = performance.now()
  const next = { key: 'deadlines.write', reason: 'write_timeout', side: 'client', at: clock + 3000 } as const
  open('app', 10, {
    queuedForClient: 5,
    owner: {
      lastDrainAt: () => clock - 5000,
      describe: () => ({ state: 'open', waitsFor: 'the client', next, kernel: { client: 7, upstream: 0 } }),
    },
  })
  open('app', 5)
  t.equal((await rows('/connections'))[0]?.['wait'], undefined)
  const [told, untold] = await rows('/connections?wait=1')
  t.match(told?.['wait'], {
    state: 'open',
    waitsFor: 'the client',
    stalledMs: { client: Number, upstream: null },
    kernel: { client: 7, upstream: 0 },
    next: { key: 'deadlines.write', reason: 'write_timeout', side: 'client', inMs: Number },
  })
  t.equal(untold?.['wait'], null)
  t.equal((await get('/connections?wait=yes')).status, 400)
})
