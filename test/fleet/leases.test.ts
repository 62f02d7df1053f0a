import { test } from 'tap'
import type { FleetState, Lease, Mode } from '../../src/fleet/lease.ts'
import { LeasedCount } from '../../src/fleet/leased-count.ts'
import { LeasedTokens } from '../../src/fleet/leased-tokens.ts'

class State implements FleetState {
  mode: Mode = 'leased'
  gates = 2
  isRetrying = false
  lends = false
  readonly gate = 'g'
  readonly asked: Lease[] = []
  readonly kept: Lease[] = []

  withinMs = 0

  get isAway(): boolean {
    return this.mode !== 'leased'
  }

  ask(lease: Lease, withinMs = 0): void {
    this.asked.push(lease)
    this.withinMs = withinMs
  }

  keep(lease: Lease): void {
    this.kept.push(lease)
  }

  onDrawn(): void {}
}

/** For two gates and one more: a lease is 5. */
const rate = { perSec: 10, burst: 15 }

test('before Redis has answered one lease is let through, and told with the first draw', (t) => {
  const state = new State()
  const tokens = new LeasedTokens(rate, state, 0)
  t.equal(tokens.size, 5)
  const another = new LeasedTokens(rate, state, 0)
  another.take(1, 0)
  t.equal(state.withinMs, 320, 'as the rest of a lease waits: four last for 400 ms')
  const taken = Array.from({ length: 7 }, () => tokens.take(1, 0))
  t.same(taken, [true, true, true, true, true, false, false])
  t.ok(state.asked.length > 0)
  const { args } = tokens.request(0)!
  t.same(args.slice(2), [5, 0, 5], 'five are spent, none goes back, five are wanted')
  t.equal(tokens.request(0), null, 'one question at a time')
  tokens.answer([3, 0], 1)
  t.same([tokens.take(3, 1), tokens.take(1, 1)], [true, false])
  t.end()
})

test('a request that waits is looked at again when half of the rest is gone, and after an answer when the lease runs out', (t) => {
  const state = new State()
  const tokens = new LeasedTokens({ perSec: 1000, burst: 300 }, state, 0)
  tokens.take(1, 0)
  tokens.request(0)
  tokens.answer([99, 0], 0)
  state.asked.length = 0
  const asksOver = (taken: number, now: number): number => {
    const before = state.asked.length
    for (let nth = 0; nth < taken; nth++) tokens.take(1, now)
    return state.asked.length - before
  }
  t.equal(asksOver(39, 10_000), 0, '60 are left of 99')
  t.equal(asksOver(11, 10_000), 1, 'fewer than half')
  t.equal(asksOver(25, 10_000), 1, 'fewer than a quarter')
  tokens.lose()
  t.equal(asksOver(1, 10_000), 1, 'lost with Redis')
  tokens.request(10_000)
  tokens.answer([78, 0], 10_000)
  t.equal(asksOver(40, 10_000), 0)
  t.equal(asksOver(20, 10_000), 1)
  t.end()
})

test('where Redis has none it is not asked again before it said that there will be some', (t) => {
  const state = new State()
  const tokens = new LeasedTokens(rate, state, 0)
  tokens.take(5, 0)
  tokens.request(0)
  tokens.answer([0, 300], 0)
  state.asked.length = 0
  for (let now = 0; now < 300; now += 10) t.notOk(tokens.take(1, now))
  t.equal(state.asked.length, 0)
  tokens.take(1, 300)
  t.equal(state.asked.length, 1)
  t.end()
})

test('what is not used for two seconds goes back, and who comes then begins anew', (t) => {
  const state = new State()
  const tokens = new LeasedTokens(rate, state, 0)
  tokens.take(1, 0)
  tokens.request(0)
  tokens.answer([5, 0], 0)
  t.equal(tokens.tend(1999), false)
  state.asked.length = 0
  t.equal(tokens.tend(2000), false)
  t.equal(state.asked.length, 1)
  t.same(tokens.request(2000)!.args.slice(2), [0, 5, 0])
  tokens.answer([0, 0], 2001)
  t.equal(tokens.tend(4100), true)
  t.ok(tokens.isFull(4100))
  t.ok(tokens.take(1, 5000))
  t.same(state.kept, [tokens], 'it is kept again')
  t.end()
})

test('a gate that begins finds a lease, and those before it give back what is more than theirs', (t) => {
  const state = new State()
  state.gates = 1
  const tokens = new LeasedTokens(rate, state, 0)
  tokens.take(1, 0)
  t.same(tokens.request(0)!.args.slice(2), [1, 0, 8], 'half of the burst, though it is alone')
  tokens.answer([8, 0], 0)
  state.gates = 2
  state.asked.length = 0
  t.equal(tokens.tend(1000), false)
  t.equal(state.asked.length, 1)
  t.same(tokens.request(1000)!.args.slice(2), [0, 3, 0])
  tokens.answer([0, 0], 1001)
  state.asked.length = 0
  tokens.tend(1500)
  t.equal(state.asked.length, 0, 'once')
  t.ok(tokens.take(5, 1500))
  t.end()
})

test('it is unsure from the moment when there is something to ask until the answer, and not where Redis has said how long', (t) => {
  const state = new State()
  const tokens = new LeasedTokens(rate, state, 0)
  t.notOk(tokens.isUnsure)
  t.ok(tokens.take(5, 0))
  t.ok(tokens.isUnsure, 'to be asked')
  tokens.request(0)
  t.ok(tokens.isUnsure, 'asked')
  tokens.answer([0, 300], 1)
  t.notOk(tokens.isUnsure)
  t.notOk(tokens.take(1, 2))
  t.notOk(tokens.isUnsure, 'there is none, and nobody is asked before there is')
  t.notOk(tokens.take(1, 301))
  t.ok(tokens.isUnsure)
  tokens.request(301)
  tokens.lose()
  t.notOk(tokens.isUnsure)
  tokens.take(1, 400)
  state.mode = 'local'
  t.notOk(tokens.isUnsure, 'nobody will be asked')
  state.isRetrying = true
  t.ok(tokens.isUnsure, 'it may be asked again in a moment')
  t.end()
})

test('what an answer that was lost has reported is not reported again, and nothing more is let through unasked', (t) => {
  const state = new State()
  const tokens = new LeasedTokens(rate, state, 0)
  for (let spent = 0; spent < 5; spent++) t.ok(tokens.take(1, 0))
  t.same(tokens.request(0)!.args.slice(2), [5, 0, 5])
  tokens.lose()
  t.notOk(tokens.take(1, 10))
  t.same(tokens.request(10)!.args.slice(2), [0, 0, 5])
  tokens.answer([5, 0], 11)
  t.ok(tokens.take(5, 11))
  t.notOk(tokens.take(1, 11))
  t.end()
})

test('while Redis is away: a share of the rate, no limit, or what is left', (t) => {
  const lets = (mode: Mode): number => {
    const state = new State()
    const tokens = new LeasedTokens(rate, state, 0)
    tokens.take(1, 0)
    tokens.request(0)
    tokens.answer([5, 0], 0)
    state.mode = mode
    let through = 0
    while (through < 100 && tokens.take(1, 0)) through++
    return through
  }
  t.same([lets('local'), lets('open'), lets('closed')], [7, 100, 5])
  t.end()
})

test('one connection is let on unasked, more where Redis gives places, and no more than those', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  t.same([count.take(10), count.take(10)], [true, false])
  t.same(
    count.request(0)!.args.slice(1, 6),
    [1, 1, 4, 10, 2],
    'one is used, one is needed, four more are wanted, of ten for two gates',
  )
  count.answer([3, 0], 1)
  now = 1
  t.same([count.take(10), count.take(10), count.take(10)], [true, true, false])
  t.equal(count.held, 3)
  t.ok(count.take(Infinity), 'what is only observed is let on')
  t.end()
})

test('places are renewed while they are used, spare ones go back after a second, and they end where nobody renews them', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  count.take(10)
  count.request(0)
  count.answer([5, 0], 0)
  t.equal(count.tend(999), false)
  t.equal(state.asked.length, 1, 'that of the first connection')
  count.tend(1000)
  t.equal(state.asked.length, 2)
  t.same(count.request(1000)!.args.slice(1, 4), [1, 0, 0])
  t.notOk(count.take(10), 'what goes back is taken by nobody meanwhile')
  count.answer([1, 0], 1000)
  count.request(1000)
  count.answer([1, 0], 1000)
  now = 2000
  count.tend(10_999)
  t.equal(state.asked.length, 2)
  count.tend(11_000)
  t.equal(state.asked.length, 3, 'renewed')
  count.release()
  now = 40_000
  t.notOk(count.take(10), 'what was granted is over')
  t.end()
})

test('of places that are more than the most for all each goes back as it comes free, though its client tries again at once', (t) => {
  const count = new LeasedCount(new State(), () => 0)
  count.take(10)
  count.request(0)
  count.answer([3, 0], 0)
  t.same([count.take(10), count.take(10)], [true, true])
  count.request(0)
  count.answer([3, 1], 0)
  count.release()
  t.notOk(count.take(10), 'the one too many is gone')
  count.release()
  t.ok(count.take(10), 'the others are kept')
  t.end()
})

test('a client that has all that there are gives a place back as soon as it leaves one, if it does not come again at once', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  const told = (): unknown[] | null => count.request(now)?.args.slice(1, 4) ?? null
  count.take(4)
  told()
  count.answer([3, 0], 0)
  t.same([count.take(4), count.take(4)], [true, true])
  t.same(told(), [3, 0, 4])
  count.answer([3, 0], 0)
  state.asked.length = 0
  count.release()
  t.same([state.asked.length, state.withinMs], [1, 50], 'Redis had no spare place')
  t.ok(count.take(4), 'here it has its place still')
  t.same(told(), [3, 0, 4], 'and it uses it')
  count.answer([3, 0], 1)
  for (const left of [2, 1]) {
    now += 100
    state.asked.length = 0
    count.release()
    t.equal(state.asked.length, 1)
    t.same(told(), [left, 0, 0], 'nothing is kept for it')
    count.answer([left, 0], now)
    t.equal(count.held, left)
  }
  now += 100
  t.notOk(count.take(4))
  t.same(told(), [1, 1, 4], 'it is asked for when it is wanted')
  count.answer([3, 0], now)
  state.asked.length = 0
  t.ok(count.take(4))
  count.release()
  t.equal(state.asked.length, 0, 'there is a spare one again: those are kept for a second')
  t.end()
})

test('where other gates have spare places a connection waits for these, as long as they take to give them back', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  count.take(6)
  count.request(0)
  count.answer([1, 0, 0], 0)
  const waits = (...answer: number[]): boolean => {
    count.isUnsure(6)
    count.request(now)
    count.answer(answer, now)
    return count.isUnsure(6)
  }
  t.notOk(waits(1, 0, 0), 'others use all of them')
  now = 100
  t.ok(waits(1, 0, 2), 'others have two that they do not use')
  now = 120
  state.asked.length = 0
  t.ok(count.isUnsure(6))
  t.equal(state.asked.length, 0, 'Redis was just asked')
  now = 160
  t.ok(count.isUnsure(6) && count.isUnsure(6))
  t.same(count.request(now)!.args.slice(1, 4), [1, 1, 4])
  count.answer([3, 0, 0], now)
  t.same([count.isUnsure(6), count.take(6), count.take(6)], [false, true, true])
  for (now = 1000; now <= 5400; now += 100) t.ok(waits(3, 0, 1))
  now = 5500
  t.notOk(waits(3, 0, 1), 'they do not give it back')
  t.end()
})

test('places beyond a maximum that a reload has lowered are none', (t) => {
  const state = new State()
  const count = new LeasedCount(state, () => 0)
  t.ok(count.take(6))
  count.request(0)
  count.answer([5, 0], 0)
  t.ok(count.take(3))
  t.ok(count.take(3))
  t.notOk(count.take(3))
  t.ok(count.take(6), 'raised again')
  state.mode = 'closed'
  t.notOk(count.take(3))
  t.ok(count.take(6))
  t.end()
})

test('while Redis is away a client has its share of each gate, and at least one', (t) => {
  const lets = (mode: Mode, max: number): number => {
    const state = new State()
    state.mode = mode
    const count = new LeasedCount(state, () => 0)
    let through = 0
    while (through < 100 && count.take(max)) through++
    return through
  }
  t.same([lets('local', 10), lets('local', 1), lets('open', 10), lets('closed', 10)], [5, 1, 100, 0])
  t.end()
})

test('what an observed maximum lets on beyond the places is told soon, although Redis has just said that there are none', (t) => {
  const state = new State()
  const count = new LeasedCount(state, () => 0)
  count.take(6)
  count.request(0)
  for (let more = 0; more < 7; more++) count.take(Infinity)
  state.asked.length = 0
  count.answer([1, 0], 0)
  t.same([state.asked.length, state.withinMs], [1, 50], 'in use when the answer came')
  t.equal(count.request(50)!.args[1], 8)
  count.answer([8, 4], 50)
  t.equal(count.over, 4)
  for (let more = 0; more < 3; more++) count.take(Infinity)
  t.equal(count.request(100)!.args[1], 11)
  t.end()
})

test('a place is in doubt from the question to its answer, and not where it is known that there is none, or Redis is away', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  t.notOk(count.isUnsure(6), 'the first is let on unasked')
  count.take(6)
  t.ok(count.isUnsure(6), 'it is to be asked')
  count.request(0)
  t.ok(count.isUnsure(6), 'it was asked')
  count.answer([5, 0], 1)
  t.notOk(count.isUnsure(6), 'there are places')
  for (let more = 0; more < 4; more++) t.ok(count.take(6))
  t.ok(count.isUnsure(6), 'it got all that it asked for: it may have more')
  count.request(1)
  count.answer([5, 0], 2)
  t.notOk(count.isUnsure(6), 'others have the last: it was just asked')
  now = 100
  t.ok(count.isUnsure(6), 'and may be asked again')
  count.request(100)
  now = 400
  t.ok(count.isUnsure(6), 'a distant Redis has not answered')
  count.answer([5, 0], now)
  now = 440
  t.notOk(count.isUnsure(6), 'the answer is known, however long it took')
  now = 460
  t.ok(count.isUnsure(6))
  state.mode = 'local'
  t.notOk(count.isUnsure(6))
  state.isRetrying = true
  t.ok(count.isUnsure(6), 'nor where it may be back in a moment')
  t.ok(new LeasedCount(state, () => now).take(6), 'its share it has at once')
  t.notOk(new LeasedCount(state, () => now).isUnsure(6))
  state.mode = 'open'
  t.notOk(count.isUnsure(6), 'an open limit has no doubts')
  t.end()
})

test('a lease of which a quarter is left is asked for with others, for as long as that lasts; one that would not last, at half and soon', (t) => {
  const drawn = (perSec: number, burst: number) => {
    const state = new State()
    const tokens = new LeasedTokens({ perSec, burst }, state, 0)
    tokens.take(1, 0)
    tokens.request(0)
    tokens.answer([tokens.size, 0], 0)
    state.asked.length = 0
    return { state, tokens }
  }
  const slow = drawn(10, 60)
  slow.tokens.take(15, 1)
  t.equal(slow.state.asked.length, 0, 'a quarter is there')
  slow.tokens.take(1, 1)
  t.same([slow.state.asked.length, slow.state.withinMs], [1, 320], 'four last for 400 ms')
  slow.tokens.take(3, 1)
  t.equal(slow.state.withinMs, 80)
  slow.tokens.take(1, 1)
  t.equal(slow.state.withinMs, 0, 'the last')
  const leisurely = drawn(10, 60)
  for (let now = 1000; now <= 16_000; now += 1000) leisurely.tokens.take(1, now)
  t.same([leisurely.state.asked.length, leisurely.state.withinMs], [1, 1000], 'at its rate, for 4 s')
  t.ok(leisurely.tokens.take(4, 16_001), 'it may spend them at once')
  t.equal(leisurely.state.withinMs, 0)
  const fast = drawn(1000, 60)
  fast.tokens.take(fast.tokens.size / 2, 1)
  t.equal(fast.state.asked.length, 0)
  fast.tokens.take(1, 1)
  t.equal(fast.state.asked.length, 1)
  t.ok(fast.state.withinMs < 20, 'it may be spent before others ask')
  t.end()
})

test('while an answer is late, the share of the gate passes beside the lease, and is reported', (t) => {
  const state = new State()
  const tokens = new LeasedTokens({ perSec: 1, burst: 20 }, state, 0)
  tokens.take(1, 0)
  tokens.request(0)
  tokens.answer([7, 0], 0)
  const taken = (): number => Array.from({ length: 30 }, () => tokens.take(1, 1)).filter(Boolean).length
  t.equal(taken(), 7, 'the lease')
  tokens.request(1)
  state.lends = true
  t.equal(tokens.has(1, 1), true)
  t.equal(taken(), 10, 'half of the burst, of two gates')
  t.equal(tokens.has(1, 1), false)
  t.ok(tokens.isUnsure, 'more waits for the answer')
  tokens.spend(3, 1)
  state.lends = false
  tokens.answer([7, 0], 2)
  t.equal(tokens.take(1, 2), false, 'what was drawn meanwhile goes to what was lent')
  t.equal(tokens.request(2)!.args[2], 6, 'and the rest of that is reported')
  tokens.answer([7, 0], 3)
  t.equal(taken(), 7)
  state.lends = true
  t.equal(taken(), 0, 'nobody lends the same again')
  t.end()
})

test('spare places last for less than those in use, and a gate reports the ones that it has used of them before', (t) => {
  const state = new State()
  let now = 0
  const count = new LeasedCount(state, () => now)
  const tends = (at: number): boolean => {
    now = at
    state.asked.length = 0
    count.tend(now)
    return state.asked.length > 0
  }
  count.take(10)
  t.same(count.request(0)!.args.slice(6), [30_000, 4000], 'of those in use, and of others')
  now = 600
  count.answer([5, 0, 0], 600)
  t.ok(count.take(10))
  t.notOk(tends(1500), 'another connection came just before')
  t.ok(tends(2100), 'two are in use, and Redis knows of one')
  t.ok(count.take(10), 'until then they are taken')
  now = 3199
  t.ok(count.take(10))
  now = 3200
  t.notOk(count.take(10), '3.2 s after the request, however late the answer was, no more is')
  t.same(count.request(now)!.args.slice(1, 4), [4, 1, 4])
  count.answer([5, 0, 0], now)
  t.ok(count.take(10))
  count.request(now)
  count.answer([5, 0, 0], now)
  t.notOk(tends(now + 9999), 'those in use, which Redis knows of, are renewed every ten seconds')
  t.ok(tends(now + 1))
  t.end()
})
