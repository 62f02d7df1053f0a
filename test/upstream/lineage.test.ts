import { test } from 'tap'
import { Queue } from '../../src/upstream/queue.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp, target } from './parts.ts'
import type { Sought } from './parts.ts'

const held = (...seekers: Sought[]): number[] =>
  seekers.map(({ connection }) => (connection.place === null ? 0 : 1))

test('who waits since before a reload gets the places that it adds, before newcomers', async (t) => {
  const { seek, another, upstream } = setUp([target(1)], { maxConnections: 1 })
  const [, waiting, late] = [seek(), seek(), seek()]
  const successor = another()
  const newcomer = successor.seek()
  t.same([held(waiting, late, newcomer), upstream.queued, successor.upstream.queued], [[0, 0, 0], 3, 3])
  successor.upstream.settle(3)
  t.same([held(waiting, late, newcomer), upstream.queued], [[1, 1, 0], 1])
  t.same(held(successor.seek(), seek()), [0, 0], 'it is full again')
  successor.upstream.settle(Infinity)
  t.same([held(newcomer), upstream.queued], [[1], 0])
  t.same(held(seek(), successor.seek()), [1, 1])
})

test('places go in the order of coming, whether to the upstream of before a reload or to its successor', async (t) => {
  const { seek, another } = setUp([target(1)], { maxConnections: 1 })
  const successor = another()
  let holder = successor.seek()
  const came = [seek(), successor.seek(), seek(), seek(), successor.seek(), successor.seek(), seek()]
  for (const [nth, next] of came.entries()) {
    holder.release()
    t.same(
      came.map(({ places }) => places.length),
      came.map((_, other) => (other <= nth ? 1 : 0)),
    )
    holder = next
  }
})

test('a lower number takes no place from anybody, and holds for those that wait already', async (t) => {
  const { seek, another } = setUp([target(1)], { maxConnections: 2 })
  const [first, second, waiting] = [seek(), seek(), seek()]
  const successor = another()
  successor.upstream.settle(1)
  first.release()
  t.same(held(second, waiting, successor.seek()), [1, 0, 0])
  second.release()
  t.same(held(waiting), [1])
})

test('room that those of before a reload cannot use does not keep newcomers waiting', async (t) => {
  const { seek, another } = setUp([target(1)], { maxConnections: 1 })
  const [, waiting] = [seek(), seek()]
  const elsewhere = another([target(2)])
  t.same(held(waiting, elsewhere.seek()), [0, 1])
})

test('places that a reload adds go to the first of several workers, whichever is reloaded first', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1, queueTimeoutMs: 60_000 })
  const [here, there] = inWorkers(2)
  here!.seek()
  const came: Sought[] = []
  for (const worker of [there, here, there, here]) {
    // Far more than real time passes between the workers' starts, by which their times in shared memory differ here.
    await clock.pass(1000)
    came.push(worker!.seek())
  }
  const [next, other] = [here!.reloaded(), there!.reloaded()]
  next.upstream.settle(3)
  t.same(held(...came), [0, 0, 0, 0], 'those that came first are there')
  other.upstream.settle(3)
  await clock.pass(40)
  t.same(held(...came), [1, 1, 0, 0])
  t.same(held(other.seek(), next.seek()), [0, 0])
})

test('a worker that takes no place left to it keeps those of before a reload waiting for 100 ms', async (t) => {
  const { clock, inWorkers } = setUp([target(1)], { maxConnections: 1, queueTimeoutMs: 60_000 })
  const [here, there] = inWorkers(2)
  here!.seek()
  there!.seek()
  await clock.pass(60)
  const waiting = here!.seek()
  here!.reloaded().upstream.settle(2)
  await clock.pass(80)
  t.same(held(waiting), [0])
  await clock.pass(40)
  t.same(held(waiting), [1])
})

test('what upstreams of a name share ends with the last of them', (t) => {
  const { upstream, another } = setUp([target(1)], { maxConnections: 1 })
  const successor = another().upstream
  successor.settle(3)
  upstream.stop()
  const last = another().upstream
  successor.stop()
  t.equal(last.maxConnections, 3)
  last.stop()
  t.equal(another().upstream.maxConnections, 1)
  t.end()
})

test('a queue looks for room at the upstreams that somebody waits for, and at no others', (t) => {
  const queue = new Queue({ clock: fakeClock() })
  const asked: string[] = []
  const homeOf = (name: string) => ({
    get hasRoom() {
      asked.push(name)
      return false
    },
  })
  const waitingFor = (name: string) => ({ home: homeOf(name), lookAgain: () => false })
  const [one, other] = [waitingFor('one'), waitingFor('other')]
  queue.add(one)
  queue.add(other)
  queue.serveInTurn()
  t.same(asked.splice(0), ['one', 'other'])
  queue.delete(one)
  queue.serveInTurn()
  t.same(asked.splice(0), ['other'])
  queue.delete(other)
  queue.serveInTurn()
  t.same(asked, [])
  t.end()
})
