import { test } from 'tap'
import { advise, ENOUGH, quantile, spoken } from '../../src/admin/advice.ts'
import { adviceKeys } from '../../src/admin/advice-keys.ts'
import { effectiveConfig } from '../../src/config/effective.ts'
import { parseConfig } from '../../src/config/load.ts'
import { patched } from '../../src/config/patch.ts'
import { LogCounts } from '../../src/core/log-counts.ts'
import type { HabitName, HabitsData } from '../../src/metrics/habits.ts'
import { habitNames } from '../../src/metrics/habits.ts'

const DAY = 86_400_000
const file = 'listeners:\n  - { name: app, address: ":17080", protocol: http, upstream: 127.0.0.1:8080 }\n'

function listenerOf(text: string): Record<string, unknown> {
  const { listeners } = effectiveConfig(parseConfig(text, 'f')) as { listeners: Record<string, unknown>[] }
  return listeners[0]!
}

function habitsOf(
  values: Partial<Record<HabitName, number[]>>,
  cuts: HabitsData['cuts'] = {},
  delays: HabitsData['delays'] = {},
): HabitsData {
  const counts: HabitsData['counts'] = {}
  for (const [name, list] of Object.entries(values) as [HabitName, number[]][]) {
    const all = new LogCounts()
    for (const value of list) all.add(value)
    counts[name] = all.data
  }
  return { listener: 'app', since: 0, counts, cuts, delays, quietNow: new LogCounts().data }
}

const many = (count: number, of: (nth: number) => number): number[] =>
  Array.from({ length: count }, (_, nth) => of(nth))
const itemOf = (habits: HabitsData, key: string, now = 2 * DAY, isAnyway = false) =>
  advise(habits, listenerOf(file), now, isAnyway).items.find((item) => item.key === key)!

const flow = ([name, ...rest]: string[], value: unknown): string =>
  rest.length === 0 ? `${name}: ${String(value)}` : `${name}: { ${flow(rest, value)} }`
/** One listener for each key: those of one name are merged one after the other. */
const treeOf = (patch: Record<string, string | number>): string =>
  `listeners: [${Object.entries(patch)
    .map(([key, value]) => `{ name: app, ${flow(key.split('.'), value)} }`)
    .join()}]`

test('nothing is proposed from less than a day or too few, unless it is asked for anyway', (t) => {
  const sizes = (count: number) => habitsOf({ messageToUpstream: many(count, () => 1000) })
  const key = 'websocket.maxMessage'
  t.match(itemOf(sizes(ENOUGH.events - 1), key), {
    proposed: null,
    why: /: 9999 of 10000 messages of clients, 48 h of 24 h/,
  })
  t.match(itemOf(sizes(ENOUGH.events), key, DAY - 1), { proposed: null, why: /23 h of 24 h\.$/ })
  t.match(itemOf(sizes(ENOUGH.events), key, DAY), { proposed: '4KiB' })
  t.match(itemOf(sizes(3), key, 0, true), { proposed: '4KiB' })
  t.match(itemOf(sizes(0), key, DAY, true), { proposed: null, why: 'There were no messages of clients.' })
  t.end()
})

test('all lie below what is proposed, with the margin, and it is a number that people write', (t) => {
  const item = itemOf(
    habitsOf({ messageToUpstream: many(20_000, (nth) => 100 + nth) }),
    'websocket.maxMessage',
  )
  t.match(item, {
    proposed: '64KiB',
    touched: 0,
    inForce: '1MiB',
    patch: { 'websocket.maxMessage': '64KiB' },
  })
  t.equal(
    item.why,
    'The largest of 20000 messages of clients had 19.6 KiB. Twice that, rounded up, is 64KiB. It would have touched none of the 20000.',
  )
  t.match(item.seen, { count: 20_000, max: 20_099 })
  t.ok(item.seen.p50 >= 10_100 && item.seen.p50 <= 12_700)
  t.end()
})

test('few that are far out are left out and told, many are not, and neither is what is near', (t) => {
  const body = many(10_000, (nth) => 100 + (nth % 900))
  const key = 'websocket.maxMessage'
  const far = itemOf(habitsOf({ messageToUpstream: [...body, ...many(90, () => 500_000)] }), key)
  t.match(far, {
    proposed: '4KiB',
    touched: 90,
    why: /^The largest of 10000 messages of clients had 1020 B; 90 more went beyond eight times that, and are left out\. Nothing below 4KiB is proposed here\./,
  })
  t.match(far.why, /It would have touched 90 of the 10090\.$/)
  const common = itemOf(habitsOf({ messageToUpstream: [...body, ...many(300, () => 500_000)] }), key)
  t.match(common, { proposed: '1MiB', touched: 0 })
  const near = itemOf(habitsOf({ messageToUpstream: [...body, ...many(90, () => 4000)] }), key)
  t.match(near, { proposed: '8KiB', touched: 0 })
  t.end()
})

test('what was cut cannot be known, and that is said', (t) => {
  const quiet = { quiet: many(10_000, () => 30_000) }
  const item = itemOf(habitsOf(quiet, { 'deadlines.idle': 7 }), 'deadlines.idle')
  t.match(item, { proposed: '1m', inForce: '1h' })
  t.match(
    item.unknown,
    /^7 connections were ended or refused by deadlines\.idle \(1h now\): what would have come of them cannot be known\.$/,
  )
  t.equal(itemOf(habitsOf(quiet), 'deadlines.idle').unknown, null)
  t.end()
})

test('the value in force is said to be that, and is no patch', (t) => {
  const item = itemOf(habitsOf({ messageToUpstream: many(10_000, () => 300_000) }), 'websocket.maxMessage')
  t.match(item, { proposed: '1MiB', inForce: '1MiB', patch: {}, why: /That is the value in force\.$/ })
  t.end()
})

test('all keys at once make a patch that a configuration takes, comments and other keys untouched', (t) => {
  const all = Object.fromEntries(
    Object.keys(habitNames).map((name) => [name, many(10_000, (nth) => 10 + (nth % 400))]),
  )
  const listener = listenerOf(
    file.replace(
      'upstream: 127',
      'websocket: { mode: messages, slowConsumer: { policy: close } }, upstream: 127',
    ),
  )
  const { items } = advise(habitsOf(all), listener, 2 * DAY, false)
  t.same(
    items.map(({ key }) => key),
    adviceKeys.filter(({ protocol }) => protocol !== 'tcp').map(({ key }) => key),
  )
  const commented = `# mine\n${file.replace('upstream: 127', 'limits: { mode: observe }, upstream: 127')}`
  for (const { patch: one } of items) {
    const single = Object.entries(one)
    if (single.length === 0) continue
    const text = patched(commented, treeOf(one), 'p')
    t.ok(parseConfig(text, 'f'), single[0]![0])
    t.match(text, /^# mine\n/)
    t.match(text, /mode: observe/)
  }
  t.end()
})

const adviceOn = (keys: string, values: Partial<Record<HabitName, number[]>>, key: string) =>
  advise(
    habitsOf(values),
    listenerOf(file.replace('upstream: 127', `${keys}, upstream: 127`)),
    2 * DAY,
    false,
  ).items.find((item) => item.key === key)

test('the most connections of a client are told as a number, and a patch leaves alone who counts them', (t) => {
  const key = 'limits.connectionsPerClient.max'
  const seen = { connectionsOfClient: many(10_000, (nth) => 1 + (nth % 40)) }
  const inForce = (limit: string) => adviceOn(`limits: { connectionsPerClient: ${limit} }`, seen, key)
  t.match(itemOf(habitsOf(seen), key), { proposed: '100', inForce: 'off' })
  t.match(inForce('100'), { inForce: '100', patch: {}, why: /That is the value in force\.$/ })
  t.match(inForce('{ max: 100 }'), { inForce: '100', patch: {} })
  const { patch } = inForce('7')!
  const shared = `shared: { redis: { address: "r:1" } }\n${file.replace('upstream: 127', 'limits: { connectionsPerClient: LIMIT }, upstream: 127')}`
  for (const [limit, scope] of [
    ['{ max: 7, scope: fleet }', 'fleet'],
    ['7', 'process'],
  ] as const) {
    const text = patched(shared.replace('LIMIT', limit), treeOf(patch), 'p')
    t.match(parseConfig(text, 'f').listeners[0]!.limits.connectionsPerClient, { max: 100, scope })
  }
  const cut = itemOf(habitsOf(seen, { 'limits.connectionsPerClient': 2 }), key)
  t.match(cut.unknown, /^2 connections were ended or refused by limits\.connectionsPerClient \(off now\)/)
  for (const { inForce: text } of advise(habitsOf(seen), listenerOf(file), 2 * DAY, false).items)
    t.notMatch(text, /object/)
  t.end()
})

test('the silence of one side is bounded by what sides in use did, and not where idle ends all of them before', (t) => {
  for (const [key, name] of [
    ['deadlines.clientIdle', 'quietClient'],
    ['deadlines.upstreamIdle', 'quietUpstream'],
  ] as const) {
    const silences = { [name]: many(10_000, (nth) => 60_000 + nth * 10) }
    t.match(itemOf(habitsOf(silences), key), {
      proposed: '10m',
      touched: 0,
      patch: { [key]: '10m' },
      why: /^The longest silence of the (client|service) in 10000 connections that went on was 2\.67 min\. Twice that/,
    })
    const never = adviceOn('deadlines: { idle: 10m }', silences, key)!
    t.match(never, {
      proposed: null,
      patch: {},
      touched: 0,
      why: /Nothing is proposed: deadlines\.idle ends all/,
    })
    const proposed = itemOf(habitsOf({ ...silences, quiet: many(10_000, () => 200_000) }), key)
    t.match(proposed, { proposed: null }, 'by the one that is proposed')
    const far = itemOf(habitsOf({ [name]: [...silences[name]!, ...many(50, () => 40_000_000)] }), key)
    t.match(far, { proposed: '10m', touched: 50, why: /50 more went beyond eight times that/ })
  }
  t.end()
})

test('the queue of a slow consumer is learnt from what waited, where something is ended or dropped for it', (t) => {
  const key = 'websocket.slowConsumer.queue'
  const waited = { queuedForClient: many(10_000, (nth) => 1000 + nth * 10) }
  for (const policy of ['close', 'dropOldest', 'dropNewest'])
    t.match(adviceOn(`websocket: { mode: messages, slowConsumer: { policy: ${policy} } }`, waited, key), {
      inForce: '1MiB',
      proposed: '512KiB',
      touched: 0,
      why: /^The most that waited for the client of one of 10000 connections was 98\.6 KiB\. Four times/,
    })
  t.equal(adviceOn('websocket: { mode: messages }', waited, key), undefined, 'wait')
  t.equal(adviceOn('websocket: { mode: frames }', waited, key), undefined)
  t.end()
})

test('a rate for each client is learnt from each client, one for all from all', (t) => {
  const values = {
    newConnections: many(10_000, () => 900),
    newConnectionsOfClient: many(10_000, () => 12),
  }
  const key = 'limits.newConnections.rate'
  t.match(adviceOn('limits: { newConnections: { rate: 10000 } }', values, key), { proposed: '2000' })
  t.match(adviceOn('limits: { newConnections: { rate: 100, per: client, onExceed: close } }', values, key), {
    proposed: '50',
    why: /^At the most 12 connections of one client began within a second, of 10000 seconds/,
  })
  t.end()
})

test('quantiles are of the classes, and numbers are spoken with three digits', (t) => {
  const counts = habitsOf({ pong: [1, 2, 3, 1000] }).counts.pong!
  t.same(
    [0.25, 0.5, 0.75, 1].map((share) => quantile(counts, share)),
    [1, 2, 3, 1000],
  )
  t.same(
    [
      spoken('ms', 999),
      spoken('ms', 61_234),
      spoken('ms', 7_200_000),
      spoken('bytes', 1536),
      spoken('count', 7),
    ],
    ['999 ms', '61.2 s', '2 h', '1.5 KiB', '7'],
  )
  t.end()
})

test('no proposal breaks a relation between keys for which the configuration would be refused', (t) => {
  const listener = {
    protocol: 'http',
    upstream: { retryFor: '7s' },
    deadlines: { connect: '20s' },
    websocket: { ping: { interval: '3s', timeout: '2s' } },
  }
  const item = (values: Partial<Record<HabitName, number[]>>, key: string, from: object = listener) =>
    advise(habitsOf(values), from as Record<string, unknown>, 0, true).items.find((one) => one.key === key)!
  t.match(item({ connect: [5] }, 'deadlines.connect'), { proposed: '10s', why: /Nothing below 10s/ })
  t.match(item({ connect: [5] }, 'deadlines.connect', { ...listener, upstream: '127.0.0.1:1' }), {
    proposed: '1s',
  })
  t.match(item({ pong: [5] }, 'websocket.ping.timeout'), { proposed: '3s' })
  t.match(item({ pong: [2000] }, 'websocket.ping.timeout'), {
    proposed: '3s',
    why: /More than 3s is not possible here, with websocket\.ping\.interval\./,
  })
  t.match(item({ pong: [2000] }, 'websocket.ping.timeout', { protocol: 'http' }), { proposed: '10s' })
  t.end()
})
