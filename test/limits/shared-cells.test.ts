import fc from 'fast-check'
import { test } from 'tap'
import { Clients } from '../../src/limits/clients.ts'
import { ConnectionLimit } from '../../src/limits/places.ts'
import { RateRules } from '../../src/limits/rate-rules.ts'
import { TokenQueue } from '../../src/limits/token-queue.ts'
import { attach } from '../../src/limits/shared-cells.ts'
import { EARLY_SUM, giveBack, makeSharedMemory } from '../../src/limits/shared-memory.ts'
import { bytesForSlots, generationOf, Slots, WINDOW } from '../../src/limits/slots.ts'
import { Bucket } from '../../src/limits/bucket.ts'
import type { Cells, Count, Scopes } from '../../src/core/cells.ts'
import { Budget } from '../../src/core/strain.ts'
import { Connection } from '../../src/core/connection.ts'
import { addressOf } from '../support/addresses.ts'
import { fakeClock } from '../support/fake-clock.ts'

const scopesOf = (cells: Cells, name: string): Scopes => ({
  process: { cells, name },
  fleet: { cells, name },
})

function workers(count: number, clients = 100) {
  const memory = makeSharedMemory({ workers: count, clients })
  return { memory, cells: Array.from({ length: count }, (_, worker) => attach(memory, worker, 0)) }
}

test('a limit on connections is one for all workers, and so is its parent', (t) => {
  const { cells } = workers(2)
  const whole = cells.map((one) => new ConnectionLimit(3, null, { count: one.count('process') }))
  const [one, other] = cells.map(
    (cell, i) => new ConnectionLimit(2, whole[i], { count: cell.count('a places') }),
  )
  const [third] = cells.map((cell, i) => new ConnectionLimit(9, whole[i], { count: cell.count('b places') }))
  t.same([one!.take(), other!.take(), one!.take(), other!.take()], ['placed', 'placed', null, null])
  t.same([one!.open, other!.open], [2, 2])
  t.same([third!.take(), third!.take()], ['placed', null], 'the parent is full')
  t.equal(third!.open, 1, 'what the parent refused was not taken from the child')
  other!.release('placed')
  t.same([third!.take(), one!.take()], ['placed', null])
  t.end()
})

test('those over a limit that is only observed hold no place of any worker', (t) => {
  const { cells } = workers(2)
  const acts: boolean[] = []
  const rules = { isEnforced: false, onFull: (isFull: boolean) => void acts.push(isFull) }
  const [one, other] = cells.map(
    (cell) => new ConnectionLimit(1, null, { ...rules, count: cell.count('a places') }),
  )
  t.same([one!.take(), other!.take(), one!.open], ['placed', 'observed', 1])
  t.same(acts, [false])
  t.end()
})

test('a client has its connections and its rate at all workers together', (t) => {
  const { cells } = workers(3)
  const options = {
    maxConnections: 2,
    newConnections: { perSec: 1, burst: 4, isEnforced: true },
    isEnforced: true,
    report: () => {},
  }
  const all = cells.map((cell) => new Clients(options, scopesOf(cell, 'main')))
  const admit = (worker: number, now = 0) => all[worker]!.admit(addressOf('192.0.2.1:1'), now)?.reason ?? 'in'
  t.same([admit(0), admit(1), admit(2)], ['in', 'in', 'too_many'])
  all[0]!.release(addressOf('192.0.2.1:1'), 0)
  t.same([admit(2), admit(0)], ['in', 'too_many'])
  all[1]!.release(addressOf('192.0.2.1:1'), 0)
  t.same([admit(0), admit(1)], ['in', 'too_many'], 'the fourth of its burst')
  all[2]!.release(addressOf('192.0.2.1:1'), 0)
  t.same([admit(1), admit(1, 1000), admit(0, 1000)], ['rate_limited', 'in', 'too_many'])
  t.equal(all[0]!.admit(addressOf('192.0.2.2:1'), 0), null, 'another client has its own')
  const elsewhere = new Clients(options, scopesOf(cells[0]!, 'other'))
  t.equal(elsewhere.admit(addressOf('192.0.2.1:1'), 0), null, 'and so has another listener')
  t.end()
})

test('a shared bucket lets through what one of its own would, to a unit of time', (t) => {
  fc.assert(
    fc.property(
      fc.record({
        perSec: fc.double({ min: 0.01, max: 1e10, noNaN: true }),
        burst: fc.integer({ min: 1, max: 1e6 }),
        steps: fc.array(fc.tuple(fc.nat(2000), fc.nat(2000), fc.constantFrom('take', 'spend')), {
          maxLength: 30,
        }),
      }),
      ({ perSec, burst, steps }) => {
        const { cells } = workers(2, 0)
        const local = new Bucket(perSec, burst, 0)
        const shared = cells.map((cell) => cell.bucket('b', { perSec, burst }))
        // What rounding up costs, in tokens.
        let slack = 1e-6 * burst
        let now = 0
        for (const [wait, amount, kind] of steps) {
          now += wait
          slack += (2 * perSec) / 62_500_000
          const one = shared[amount % 2]!
          if (kind === 'spend') {
            local.spend(amount, now)
            one.spend(amount, now)
            continue
          }
          const isTaken = one.take(amount, now)
          if (isTaken) {
            if (!local.has(amount - slack, now)) throw new Error('more than there was')
            local.spend(amount, now)
          } else if (local.has(amount + slack, now)) throw new Error('less than there was')
        }
      },
    ),
  )
  t.pass()
  t.end()
})

test('rates per listener and per client are drawn from by all workers, those per connection are not', (t) => {
  const { cells } = workers(2)
  const clock = fakeClock()
  const rule = (per: 'connection' | 'client' | 'listener') =>
    ({ perSec: 10, burst: 100, per, onExceed: 'close', isEnforced: true }) as const
  const rates = (per: 'connection' | 'client' | 'listener') =>
    cells.map((cell) => {
      const clients = new Clients(
        { maxConnections: 9, newConnections: null, isEnforced: true, report: () => {} },
        scopesOf(cell, per),
      )
      clients.admit(addressOf('192.0.2.1:1'), 0)
      const options = { bytes: rule(per), messages: null, minRate: null, readBytes: 10 }
      const context = {
        clock,
        tokenQueue: new TokenQueue(clock),
        clients,
        scopes: scopesOf(cell, per),
        report: () => {},
      }
      const connection = new Connection(1, 'main', 'tcp', addressOf('192.0.2.1:1'), 0)
      return new RateRules(options, context).ratesOf(connection)!.toUpstream.bytes!.bucket
    })
  for (const [per, isThere] of [
    ['listener', false],
    ['client', false],
    ['connection', true],
  ] as const) {
    const [one, other] = rates(per)
    t.ok(one!.take(100, 0))
    t.equal(other!.take(1, 0), isThere, per)
  }
  t.end()
})

test('bytes that are held are added up over all workers', (t) => {
  const { memory, cells } = workers(2)
  const [one, other] = cells.map((cell) => new Budget(cell.sum(EARLY_SUM)))
  one!.charge(6400)
  other!.charge(640)
  t.same([one!.heldBytes, other!.heldBytes], [7040, 7040])
  one!.charge(-6400)
  t.equal(other!.heldBytes, 640)
  giveBack(memory, 1)
  t.equal(one!.heldBytes, 0)
  t.end()
})

test('what a worker held is given back, and nothing of the others', (t) => {
  const { memory, cells } = workers(3)
  const counts = cells.map((cell) => ['a', 'b', 'c'].map((name) => cell.count(name)))
  for (const [worker, mine] of counts.entries())
    for (const [nth, count] of mine.entries()) for (let i = 0; i <= worker + nth; i++) count.take(Infinity)
  t.same(
    counts[0]!.map(({ held }) => held),
    [6, 9, 12],
  )
  t.equal(giveBack(memory, 2), true)
  t.same(
    counts[0]!.map(({ held }) => held),
    [3, 5, 7],
  )
  t.equal(giveBack(memory, 2), true)
  t.same(
    counts[0]!.map(({ held }) => held),
    [3, 5, 7],
    'once',
  )
  const again = attach(memory, 2, 0).count('a')
  t.ok(again.take(4))
  t.notOk(again.take(4))
  t.end()
})

test('clients that are idle make room for others; those with connections never do', (t) => {
  const { cells } = workers(2, 0)
  const kept = Array.from({ length: 500 }, (_, nth) => cells[0]!.count(`kept ${nth}`))
  for (const count of kept) t.ok(count.take(1))
  for (let nth = 0; nth < 50_000; nth++) {
    const passing = cells[1]!.count(`passing ${nth}`)
    if (!passing.take(1)) t.fail(`no room for ${nth}`)
    passing.release()
  }
  t.same(
    kept.filter(({ held }) => held !== 1),
    [],
  )
  t.notOk(cells[1]!.count('kept 7').take(1))
  for (const count of kept) count.release()
  t.same(
    kept.filter(({ held }) => held !== 0),
    [],
  )
  t.end()
})

test('a count that was idle while its slot went to others, through all generations, is found again', (t) => {
  const memory = new SharedArrayBuffer(bytesForSlots(WINDOW))
  const slots = new Slots(memory, { offset: 0, capacity: WINDOW, worker: 0 }, () => 0)
  const key = slots.keyOf('one')
  const found = slots.claim(key, false)
  for (let nth = 0; nth < 600; nth++) {
    slots.claim(slots.keyOf(`passing ${nth}`), false)
    if (slots.find(key) === null && slots.check(found, key) !== null) t.fail(`it is another's, after ${nth}`)
  }
  t.equal(slots.find(key), null)
  t.not(slots.claim(key, false), null)
  t.end()
})

test('more clients than slots: their buckets are forgotten, those first that are full again soonest', (t) => {
  const { cells } = workers(2, 0)
  const debtor = cells[0]!.bucket('debtor', { perSec: 1, burst: 1 })
  debtor.spend(1_000_000, 0)
  for (let nth = 0; nth < 20_000; nth++)
    cells[1]!.bucket(`passing ${nth}`, { perSec: 1, burst: 10 }).take(1, 0)
  t.notOk(debtor.has(1, 0))
  t.end()
})

const acts: Array<[string, (count: Count) => void]> = [
  ['a take', (count) => void count.take(5)],
  ['a take and a release', (count) => (count.take(5), count.release())],
  ['two takes', (count) => (count.take(5), count.take(5))],
]

for (const [title, act] of acts) {
  for (const held of [0, 1]) {
    test(`a worker that ends before any step of ${title}, of which ${held} is held elsewhere, leaves nothing`, (t) => {
      // All slots have been used, so that a key is replaced.
      const used = workers(2, 0)
      for (let nth = 0; nth < 3000; nth++) passes(used.cells[0]!.count(`passing ${nth}`))
      for (let step = 1; ; step++) {
        const memory = { ...used.memory, bytes: copyOf(used.memory.bytes) }
        const cells = [0, 1].map((worker) => attach(memory, worker, 0))
        const other = cells[0]!.count('client')
        if (held === 1) other.take(5)
        const hasEnded = endAt(step, () => act(cells[1]!.count('client')))
        t.equal(giveBack(memory, 1), true)
        t.equal(cells[0]!.count('client').held, held, `ended before step ${step}`)
        const again = attach(memory, 1, 0)
        t.ok(again.count('new').take(1), 'the lock is free')
        t.equal(again.count('client').take(held), false)
        if (!hasEnded) break
      }
      t.end()
    })
  }
}

test('of two workers that ended between two steps at one cell, neither leaves anything', (t) => {
  let again = 0
  for (const [, act] of acts) {
    for (let step = 1; ; step++) {
      let isDone = true
      for (let otherStep = 1; ; otherStep++) {
        const { memory, cells } = workers(3, 0)
        cells[2]!.count('client').take(5)
        const hasEnded = endAt(step, () => act(cells[0]!.count('client')))
        const hasOther = endAt(otherStep, () => act(cells[1]!.count('client')))
        const isSettled = giveBack(memory, 0)
        if (!isSettled) again++
        const { held } = cells[2]!.count('client')
        if (held < 1 || held > 5) t.fail(`${held} held, ended before ${step} and ${otherStep}`)
        if (!giveBack(memory, 1) || !giveBack(memory, 0)) t.fail('it is not settled')
        if (cells[2]!.count('client').held !== 1) t.fail(`ended before ${step} and ${otherStep}`)
        if (hasEnded) isDone = false
        if (!hasOther) break
      }
      if (isDone) break
    }
  }
  t.ok(again > 0, `asked again ${again} times`)
  t.end()
})

test('a worker that is about to replace a key ends, and who uses that slot meanwhile is found by the others', (t) => {
  for (let step = 1; ; step++) {
    const memory = new SharedArrayBuffer(bytesForSlots(WINDOW))
    const of = (worker: number) => new Slots(memory, { offset: 0, capacity: WINDOW, worker }, () => 0)
    const [one, ending] = [of(0), of(1)]
    const keys = Array.from({ length: WINDOW }, (_, nth) => one.keyOf(`old ${nth}`))
    const found = keys.map((key) => {
      const { slot, generation } = one.claim(key, false)!
      one.swap(slot, one.word(slot), 1)
      return { slot, generation }
    })
    for (const { slot } of found) one.swap(slot, one.word(slot), 0)
    const hasEnded = endAt(step, () => ending.claim(ending.keyOf('new'), false))
    const used = keys.filter((_, nth) => {
      const word = one.word(found[nth]!.slot)
      return generationOf(word) === found[nth]!.generation && one.swap(found[nth]!.slot, word, 1)
    })
    one.recover(1)
    t.ok(used.length >= WINDOW - 1)
    t.same(
      used.filter((key) => one.find(key) === null),
      [],
      `ended before step ${step}`,
    )
    if (!hasEnded) break
  }
  t.end()
})

function copyOf(bytes: SharedArrayBuffer): SharedArrayBuffer {
  const copy = new SharedArrayBuffer(bytes.byteLength)
  new Uint8Array(copy).set(new Uint8Array(bytes))
  return copy
}

function passes(count: Count): void {
  count.take(1)
  count.release()
}

/** A thread that ends between two instructions: nothing that it would have done in shared memory from the nth on is done. */
function endAt(nth: number, act: () => void): boolean {
  const names = ['load', 'store', 'add', 'exchange', 'compareExchange', 'notify'] as const
  const real = Object.fromEntries(names.map((name) => [name, Atomics[name]]))
  let left = nth
  const ending =
    (name: string) =>
    (...args: unknown[]) => {
      if (--left <= 0) throw new Error('ended')
      return (real[name] as (...args: unknown[]) => unknown)(...args)
    }
  Object.assign(Atomics, Object.fromEntries(names.map((name) => [name, ending(name)])))
  try {
    act()
    return false
  } catch {
    return true
  } finally {
    Object.assign(Atomics, real)
  }
}

test('the first of each queue is seen by the other workers, in the time of each', (t) => {
  const memory = makeSharedMemory({ workers: 3, clients: 100 })
  // Their clocks began a second apart.
  const cells = [0, 1000, 2000].map((now, worker) => attach(memory, worker, now))
  const heads = cells.map((one) => one.heads('q'))
  t.same(
    heads.map(({ earliest }) => earliest),
    [null, null, null],
  )
  heads[0]!.set(500)
  heads[2]!.set(2400)
  const near = (found: number | null, wanted: number): boolean => Math.abs(found! - wanted) <= 2
  t.ok(near(heads[1]!.earliest, 1400), 'the earlier of the two')
  t.ok(near(heads[0]!.earliest, 400))
  t.ok(near(heads[2]!.earliest, 2500))
  heads[2]!.set(null)
  t.ok(near(heads[1]!.earliest, 1500))
  t.equal(heads[0]!.earliest, null)
  heads[1]!.set(1)
  attach(memory, 1, 1000).heads('q')
  t.equal(heads[0]!.earliest, null, 'another one in its place has nobody yet')
  t.equal(cells[0]!.heads('other').earliest, null)
  t.end()
})
