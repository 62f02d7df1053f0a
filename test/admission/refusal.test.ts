import { test } from 'tap'
import { noOwner, Refusals } from '../../src/admission/refusal.ts'
import { Sweep, SWEEP_MS } from '../../src/core/clock.ts'
import { RESERVED } from '../../src/lifecycle/descriptors.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'
import type { MemoryOptions } from '../support/memory-endpoint.ts'

const LINGER_MS = 1000
const MAX_LINGERING = 32

function setUp() {
  const clock = fakeClock()
  const sweep = new Sweep(clock)
  const refusals = new Refusals(clock, sweep)
  const refuse = (answer: string | null, options: MemoryOptions = {}): MemoryEndpoint => {
    const endpoint = new MemoryEndpoint('client', noOwner, options)
    refusals.refuse(endpoint, () => (answer === null ? null : Buffer.from(answer)))
    return endpoint
  }
  return { clock, sweep, refuse }
}

test('a client whose protocol has no answer is refused by RST at once', async (t) => {
  const { clock, sweep, refuse } = setUp()
  const client = refuse(null)
  t.ok(client.gotReset)
  await clock.pass(0)
  t.equal(sweep.size, 0)
})

test('a client with an answer gets it and FIN, what it sends meanwhile is read, and its FIN ends it', async (t) => {
  const { clock, sweep, refuse } = setUp()
  const client = refuse('503')
  client.feed('a request')
  await clock.pass(0)
  t.same([client.got.toString(), client.gotFin, client.gotReset, client.unread], ['503', true, false, 0])
  t.notOk(client.isClosed)
  client.fin()
  await clock.pass(0)
  t.ok(client.isClosed)
  t.notOk(client.gotReset)
  t.equal(sweep.size, 0)
})

test('a client that does not end is reset after a second, and one that does not read its answer too', async (t) => {
  for (const takes of [Infinity, 0]) {
    const { clock, sweep, refuse } = setUp()
    const client = refuse('503', { takes })
    const stop = clock.every(100, () => client.feed('more'))
    await clock.pass(LINGER_MS - 1)
    t.notOk(client.isClosed)
    await clock.pass(1 + SWEEP_MS)
    t.ok(client.gotReset)
    t.equal(sweep.size, 0)
    stop()
    t.equal(clock.armed.every, 0)
  }
})

test('no more than 32 linger, within the reserve of descriptors: the next is reset without an answer, until one has gone', async (t) => {
  const { clock, sweep, refuse } = setUp()
  t.ok(MAX_LINGERING < RESERVED)
  const lingering = Array.from({ length: MAX_LINGERING }, () => refuse('503'))
  t.equal(sweep.size, MAX_LINGERING)
  const next = refuse('503')
  t.ok(next.gotReset)
  t.equal(next.got.length, 0)
  await clock.pass(0)
  t.equal(sweep.size, MAX_LINGERING)
  lingering[0]!.fin()
  lingering[1]!.rst()
  await clock.pass(0)
  t.notOk(refuse('503').gotReset)
  t.notOk(refuse('503').gotReset)
  t.ok(refuse('503').gotReset)
})
