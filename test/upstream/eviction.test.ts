import { test } from 'tap'
import { Connection } from '../../src/core/connection.ts'
import type { Place } from '../../src/core/connection.ts'
import { Eviction } from '../../src/upstream/eviction.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { addressOf } from '../support/addresses.ts'

const place: Place = { release() {} }

function connections(count: number, ended: number[], at: Place | null = place): Connection[] {
  return Array.from({ length: count }, (_, id) => {
    const connection = new Connection(id, 'l', 'tcp', addressOf('192.0.2.1:1'), 0)
    connection.phase = 'relay'
    connection.place = at
    connection.owner = {
      close(close) {
        ended.push(id)
        connection.end = close
      },
      queued: () => 0,
      lastDrainAt: () => 0,
      isPaused: () => false,
    }
    return connection
  })
}

test('no more than a tenth of the connections end in a second with upstream_unhealthy, and after ten all have', async (t) => {
  const clock = fakeClock()
  const ended: number[] = []
  const all = connections(1000, ended)
  const eviction = new Eviction(place, 'why', clock, all)
  t.equal(ended.length, 0)
  for (let second = 1; second <= 10; second++) {
    await clock.pass(1000)
    t.equal(ended.length, second * 100)
  }
  t.match(all[0]!.end, { reason: 'upstream_unhealthy', side: 'upstream', phase: 'relay', detail: 'why' })
  eviction.stop()
  t.equal(clock.armed.after, 0)
})

test('a few end one each tenth of a second', async (t) => {
  const clock = fakeClock()
  const ended: number[] = []
  const eviction = new Eviction(place, 'why', clock, connections(3, ended))
  await clock.pass(100)
  t.equal(ended.length, 1)
  await clock.pass(200)
  t.equal(ended.length, 3)
  eviction.stop()
})

test('those of another address, those that left it meanwhile, and dials that are under way are spared', async (t) => {
  const clock = fakeClock()
  const ended: number[] = []
  const others = connections(5, ended, { release() {} })
  const leaving = connections(5, ended)
  const dialling = connections(5, ended)
  for (const connection of dialling) connection.phase = 'connect'
  const eviction = new Eviction(place, 'why', clock, [...others, ...leaving, ...dialling])
  for (const connection of leaving) connection.place = null
  await clock.pass(5000)
  t.same(ended, [])
  for (const connection of dialling) connection.phase = 'relay'
  await clock.pass(2000)
  t.equal(ended.length, 5, 'a dial that succeeded after all is found')
  eviction.stop()
})

test('an address that is well again spares those that are left', async (t) => {
  const clock = fakeClock()
  const ended: number[] = []
  const eviction = new Eviction(place, 'why', clock, connections(200, ended))
  await clock.pass(500)
  eviction.stop()
  await clock.pass(60_000)
  t.equal(ended.length, 10)
})

test('an eviction that ends with its last connection, in the middle of a tick, leaves no timer', async (t) => {
  const clock = fakeClock()
  const all = connections(1, [])
  const eviction: Eviction = new Eviction(place, 'why', clock, all)
  all[0]!.owner!.close = () => eviction.stop()
  await clock.pass(100)
  t.equal(clock.armed.after, 0)
})
