import fc from 'fast-check'
import { test } from 'tap'
import { Clients, type ClientOptions } from '../../src/limits/clients.ts'
import { LocalCount } from '../../src/core/cells.ts'
import { localCells } from '../../src/limits/cells.ts'
import { Doubts } from '../../src/limits/doubts.ts'
import { AskedBucket } from './asked-bucket.ts'
import { addressOf } from '../support/addresses.ts'
import { fakeClock } from '../support/fake-clock.ts'

function setUp(options: Partial<ClientOptions> = {}) {
  const acts: string[] = []
  const clients = new Clients({
    maxConnections: Infinity,
    newConnections: null,
    isEnforced: true,
    report: (limit, action, isEnforced) => void acts.push(`${limit} ${action} ${isEnforced}`),
    ...options,
  })
  return {
    clients,
    acts,
    admit: (address: string, now = 0) => clients.admit(addressOf(address), now)?.reason ?? 'in',
  }
}

test('a client has as many connections as its limit, the next is too_many, and a released place is taken again', (t) => {
  const { clients, acts, admit } = setUp({ maxConnections: 2 })
  t.same(
    [admit('192.0.2.1:1'), admit('[::ffff:192.0.2.1]:2'), admit('192.0.2.1:3'), admit('192.0.2.2:1')],
    ['in', 'in', 'too_many', 'in'],
  )
  clients.release(addressOf('192.0.2.1:1'), 0)
  t.same([admit('192.0.2.1:4'), admit('192.0.2.1:5')], ['in', 'too_many'])
  t.same(acts, ['connectionsPerClient close true', 'connectionsPerClient close true'])
  t.end()
})

test('a client that begins connections faster than its rate is rate_limited, until a token has come', (t) => {
  const { admit } = setUp({ newConnections: { perSec: 10, burst: 2, isEnforced: true } })
  t.same([admit('a::1'), admit('a::2'), admit('a::3'), admit('b::1')], ['in', 'in', 'rate_limited', 'in'])
  t.same([admit('a::1', 99), admit('a::1', 100), admit('a::1', 101)], ['rate_limited', 'in', 'rate_limited'])
  t.end()
})

test('what is only observed lets in and counts', (t) => {
  const { acts, admit } = setUp({
    maxConnections: 1,
    isEnforced: false,
    newConnections: { perSec: 1, burst: 2, isEnforced: false },
  })
  t.same([admit('1.1.1.1:1'), admit('1.1.1.1:2'), admit('1.1.1.1:3')], ['in', 'in', 'in'])
  t.same(acts, [
    'connectionsPerClient close false',
    'connectionsPerClient close false',
    'newConnections close false',
  ])
  t.end()
})

test('peers of a Unix socket cannot be told apart, so they are not limited as one client', (t) => {
  const { clients, admit } = setUp({ maxConnections: 1 })
  t.same([admit('unix'), admit('unix')], ['in', 'in'])
  clients.release(addressOf('unix'), 0)
  t.equal(clients.size, 0)
  t.equal(clients.of(addressOf('unix')), null)
  t.end()
})

test('a client is forgotten with its last connection, unless it has spent something that it would get back by that', (t) => {
  const { clients, admit } = setUp({ maxConnections: 5 })
  admit('1.1.1.1:1')
  t.equal(clients.size, 1)
  const bucket = clients.of(addressOf('1.1.1.1:9'))!.bucket('bytes', { perSec: 10, burst: 10 }, 0)
  bucket.spend(10, 0)
  clients.release(addressOf('1.1.1.1:1'), 0)
  t.equal(clients.size, 1)
  admit('1.1.1.1:2', 500)
  t.equal(
    clients.of(addressOf('1.1.1.1:2'))!.bucket('bytes', { perSec: 10, burst: 10 }, 0),
    bucket,
    'it comes back to its bucket',
  )
  clients.release(addressOf('1.1.1.1:2'), 1000)
  t.equal(clients.size, 0)
  t.end()
})

test('however many addresses come, those without connections are bounded, and no client with one is forgotten', (t) => {
  const { clients, admit } = setUp({
    newConnections: { perSec: 1, burst: 1, isEnforced: true },
    maxConnections: 1,
  })
  const address = (nth: number): string => `10.${nth >> 16}.${(nth >> 8) & 255}.${nth & 255}:1`
  for (let nth = 0; nth < 10; nth++) admit(address(nth))
  for (let nth = 10; nth < 40_000; nth++) {
    admit(address(nth))
    clients.release(addressOf(address(nth)), 0)
  }
  t.equal(clients.size, 10 + 16_384)
  t.equal(clients.forgottenEarly, 40_000 - 10 - 16_384)
  for (let nth = 0; nth < 10; nth++) t.equal(admit(address(nth)), 'too_many', 'remembered')
  t.equal(admit(address(39_999)), 'rate_limited', 'the last ones are remembered')
  t.equal(admit(address(10)), 'in', 'the first ones are not')
  for (let nth = 0; nth < 10_000; nth++) admit(`192.168.${nth >> 8}.${nth & 255}:1`, 60_000)
  t.ok(clients.size < 21_000, 'full buckets go as fast as new clients come')
  t.end()
})

test('no order of connections goes over a limit or loses a place', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(3), fc.boolean())), (steps) => {
      const { clients, admit } = setUp({ maxConnections: 2 })
      const open = [0, 0, 0, 0]
      for (const [who, comes] of steps) {
        const address = `10.0.0.${who}:1`
        if (comes) {
          if ((admit(address) === 'in') !== open[who]! < 2) throw new Error('room was not what it is')
          if (open[who]! < 2) open[who]!++
        } else if (open[who]! > 0) {
          clients.release(addressOf(address), 0)
          open[who]!--
        }
        if (clients.size !== open.filter((count) => count > 0).length)
          throw new Error('an entry too many or too few')
      }
    }),
  )
})

test('in doubt is a client of whom a fleet has not said yet whether it is over a limit, and nobody else', (t) => {
  const now = (): number => 0
  const fleet = { isUnsure: true, tokens: new AskedBucket(0.001, 1, 0) }
  class AskedCount extends LocalCount {
    isUnsure(max: number): boolean {
      return fleet.isUnsure && this.held >= max
    }
  }
  const count = new AskedCount()
  const cells = { ...localCells, count: () => count, bucket: () => fleet.tokens }
  const scopes = { process: { cells: localCells, name: 'l' }, fleet: { cells, name: 'l' } }
  const report = (): void => {}
  const one = addressOf('192.0.2.1:1')
  const options = {
    maxConnections: 1,
    newConnections: null,
    isEnforced: true,
    scope: 'fleet',
    report,
  } as const
  const clients = new Clients(options, scopes)
  t.equal(clients.doubt(one, now), null, 'there is a place')
  t.equal(clients.admit(one, 0), null)
  const doubt = clients.doubt(one, now)!
  t.ok(doubt(), 'there is none, as far as is known')
  fleet.isUnsure = false
  t.notOk(doubt(), 'there is none, as is known')
  t.same([clients.doubt(one, now), clients.doubt(addressOf('unix'), now)], [null, null])
  fleet.isUnsure = true
  clients.options = { ...options, isEnforced: false }
  t.equal(clients.doubt(one, now), null, 'only observed')

  const rate = { perSec: 0.001, burst: 1, isEnforced: true, scope: 'fleet' } as const
  const paced = new Clients({ ...options, maxConnections: Infinity, newConnections: rate }, scopes)
  t.equal(paced.doubt(one, now), null, 'there is a token')
  t.equal(paced.admit(one, 0), null)
  const ofRate = paced.doubt(one, now)!
  t.ok(ofRate())
  fleet.tokens.answer(1, 0)
  t.notOk(ofRate(), 'there is a token now')
  t.equal(paced.admit(one, 0), null)
  const own = { ...options, scope: 'process', newConnections: { ...rate, scope: 'process' } } as const
  const alone = new Clients(own, scopes)
  alone.admit(one, 0)
  t.equal(alone.doubt(one, now), null, 'what this process counts is known')

  fleet.tokens = new AskedBucket(0.001, 1, 0)
  const mixed = new Clients(
    { ...own, maxConnections: 2, newConnections: rate },
    scopes,
    new Doubts(fakeClock()),
  )
  t.equal(mixed.admit(one, 0), null)
  t.equal(mixed.doubt(one, now)!.kind, undefined, 'it waits for a token, and takes no room from others')
  t.ok(mixed.admit(one, 0) !== null)
  t.end()
})

test('a count that only observes judges connections in doubt once a fleet has answered: each over its places, and no other', async (t) => {
  for (const over of [0, 2, 9]) {
    const clock = fakeClock()
    const fleet = { isUnsure: true, over: 0 }
    class AskedCount extends LocalCount {
      get over(): number {
        return fleet.over
      }
      isUnsure(): boolean {
        return fleet.isUnsure
      }
    }
    const cells = { ...localCells, count: () => new AskedCount() }
    const scopes = { process: { cells: localCells, name: 'l' }, fleet: { cells, name: 'l' } }
    const acts: boolean[] = []
    const options = {
      maxConnections: 1,
      newConnections: null,
      isEnforced: false,
      scope: 'fleet',
      report: (_limit: string, _action: string, isEnforced: boolean) => void acts.push(isEnforced),
    } as const
    const clients = new Clients(options, scopes, new Doubts(clock))
    for (let nth = 0; nth < 5; nth++) t.equal(clients.admit(addressOf('192.0.2.1:1'), 0), null)
    await clock.pass(100)
    t.same(acts, [], 'nobody knows yet')
    Object.assign(fleet, { isUnsure: false, over })
    await clock.pass(100)
    t.same(
      acts,
      Array.from({ length: Math.min(over, 4) }, () => false),
      'the first had a place',
    )
    clients.admit(addressOf('192.0.2.1:1'), 0)
    t.equal(acts.length, Math.min(over, 4) + 1, 'what is known is counted at once')
  }
})

test('a rate of new connections that only observes counts none in doubt', (t) => {
  const bucket = new AskedBucket(0.001, 1, 0)
  const cells = { ...localCells, bucket: () => bucket }
  const acts: boolean[] = []
  const clients = new Clients(
    {
      maxConnections: Infinity,
      newConnections: { perSec: 0.001, burst: 1, isEnforced: false, scope: 'fleet' },
      isEnforced: true,
      report: (_limit, _action, isEnforced) => void acts.push(isEnforced),
    },
    { process: { cells: localCells, name: 'l' }, fleet: { cells, name: 'l' } },
  )
  const one = addressOf('192.0.2.1:1')
  for (let nth = 0; nth < 3; nth++) t.equal(clients.admit(one, 0), null)
  t.same(acts, [])
  bucket.answer(2, 0)
  t.equal(clients.admit(one, 0), null)
  t.same(acts, [false], 'the answer has paid for two')
  t.end()
})

test('a connection that is asked to go gives its place up, to as many as may be open', (t) => {
  const { clients, admit } = setUp({ maxConnections: 2 })
  const ann = addressOf('192.0.2.1:1')
  t.same([admit('192.0.2.1:1'), admit('192.0.2.1:2'), admit('192.0.2.1:3')], ['in', 'in', 'too_many'])
  t.same([clients.part(ann), admit('192.0.2.1:3'), admit('192.0.2.1:4')], [true, 'in', 'too_many'])
  t.same([clients.part(ann), admit('192.0.2.1:4')], [true, 'in'])
  t.same([clients.part(ann), admit('192.0.2.1:5')], [false, 'too_many'], 'two have to go first')
  clients.release(ann, 0, { hasParted: true, observed: null })
  t.equal(admit('192.0.2.1:5'), 'too_many', 'its place was given up before')
  t.same([clients.part(ann), admit('192.0.2.1:5')], [true, 'in'])
  for (const hasParted of [true, true, false, false]) clients.release(ann, 0, { hasParted, observed: null })
  t.same([clients.size, clients.part(ann), clients.part(addressOf('unix'))], [0, false, false])
  t.end()
})

test('a newcomer over the limit waits a moment for the connection that it replaces, and is told in the turn behind its end', async (t) => {
  const clock = fakeClock()
  const doubts = new Doubts(clock)
  const options: ClientOptions = { maxConnections: 1, newConnections: null, isEnforced: true, report() {} }
  const clients = new Clients(options, undefined, doubts)
  const one = addressOf('192.0.2.1:1')
  const told: string[] = []
  const come = (): void => {
    const doubt = clients.doubt(one, () => clock.now())
    if (doubt === null) return void told.push('no doubt')
    doubts.wait(doubt, () => void told.push(clients.admit(one, clock.now())?.reason ?? 'in'))
  }
  t.equal(
    clients.doubt(one, () => clock.now()),
    null,
  )
  t.equal(clients.admit(one, clock.now()), null)
  come()
  await clock.pass(0)
  t.same(told, [])
  clients.release(one, clock.now())
  await clock.pass(0)
  t.same(told, ['in'], 'before the next tick')
  come()
  come()
  t.same(told, ['in', 'no doubt'], 'one can replace one')
  clients.part(one)
  await clock.pass(0)
  t.same(told, ['in', 'no doubt', 'in'])
  come()
  await clock.pass(36)
  t.equal(told.length, 3)
  await clock.pass(4)
  t.same(told.slice(3), ['too_many'])
  come()
  t.equal(told.length, 4, 'there is room to wait again')
  await clock.pass(40)
  clients.options = { ...options, isEnforced: false }
  come()
  t.equal(told.at(-1), 'no doubt', 'a limit that only observes delays nobody')
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})
