import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import fc from 'fast-check'
import { makeClose, reasonNames } from '../../src/core/close.ts'
import type { BufferOptions } from '../../src/pair/half.ts'
import { pattern, Verifier } from '../support/bytes.ts'
import { memoryPair, dialogue } from './memory-pair.ts'
import type { MemoryPair } from './memory-pair.ts'

const sides = ['client', 'upstream'] as const
const side = fc.constantFrom(...sides)
const farewell = fc.constantFrom('awaited' as const, 'said' as const, 'blocked' as const, 'nothing' as const)

const buffers: fc.Arbitrary<BufferOptions> = fc
  .tuple(fc.integer({ min: 1, max: 300 }), fc.nat(100), fc.nat(100))
  .map(([highBytes, low, read]) => ({
    highBytes,
    lowBytes: Math.floor((highBytes * low) / 100),
    readBytes: Math.max(1, Math.floor((highBytes * read) / 100)),
  }))

type Step =
  | { do: 'feed' | 'take'; side: 'client' | 'upstream'; bytes: number }
  | { do: 'stall' | 'fin' | 'rst'; side: 'client' | 'upstream' }
  | { do: 'turn' }
  | { do: 'close'; reason: (typeof reasonNames)[number]; side: 'client' | 'upstream' | 'sidegate' }
  | { do: 'pass'; ms: number }

const moves: fc.Arbitrary<Step>[] = [
  fc.record({ do: fc.constant('feed' as const), side, bytes: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ do: fc.constant('feed' as const), side, bytes: fc.integer({ min: 1, max: 400 }) }),
  fc.record({ do: fc.constant('take' as const), side, bytes: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ do: fc.constant('take' as const), side, bytes: fc.integer({ min: 1, max: 200 }) }),
  fc.record({ do: fc.constant('stall' as const), side }),
  fc.constant({ do: 'turn' as const }),
]
const fin = fc.record({ do: fc.constant('fin' as const), side })
const ends: fc.Arbitrary<Step>[] = [
  fin,
  fc.record({ do: fc.constant('rst' as const), side }),
  fc.record({
    do: fc.constant('close' as const),
    reason: fc.constantFrom(...reasonNames),
    side: fc.constantFrom(...sides, 'sidegate' as const),
  }),
  fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 1500 }) }),
]

const seeds = { client: 1, upstream: 2 }

class Run {
  readonly it: MemoryPair
  readonly fed = { client: 0, upstream: 0 }
  readonly finished = { client: false, upstream: false }
  readonly #high: number

  constructor(it: MemoryPair, high: number) {
    this.it = it
    this.#high = high
  }

  async step(step: Step): Promise<void> {
    const { it } = this
    if (step.do === 'turn') await turn()
    else if (step.do === 'pass') await it.clock.pass(step.ms)
    else if (step.do === 'close') it.pair.close(makeClose(step.reason, step.side, 'relay'))
    else this.#move(step)
    this.check()
  }

  #move(step: Exclude<Step, { do: 'turn' | 'pass' | 'close' }>): void {
    const peer = this.it[step.side]
    if (step.do === 'feed' && !this.finished[step.side]) {
      peer.feed(pattern(step.bytes, seeds[step.side], this.fed[step.side]))
      this.fed[step.side] += step.bytes
    }
    if (step.do === 'take') peer.take(step.bytes)
    if (step.do === 'stall') peer.stall()
    if (step.do === 'fin' || step.do === 'rst') {
      this.finished[step.side] = true
      if (step.do === 'fin') peer.fin()
      else peer.rst()
    }
  }

  check(): void {
    for (const side of sides) {
      const other = side === 'client' ? 'upstream' : 'client'
      const { got, queued } = this.it[side]
      const stream = new Verifier(seeds[other])
      stream.write(got)
      if (stream.problem() !== null) throw new Error(`the ${side} got another stream: ${stream.problem()}`)
      if (got.length > this.fed[other]) throw new Error(`the ${side} got more than was sent`)
      if (queued > this.#high)
        throw new Error(`${queued} bytes wait for the ${side}, the bound is ${this.#high}`)
    }
  }
}

test('a sink gets exactly what its source sent, in order, within the bound, and whole when the pair ends with eof', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      buffers,
      fc.array(fc.oneof(...moves, ...moves, fin), { maxLength: 60 }),
      fc.boolean(),
      async (buffers, steps, hasDialogue) => {
        const it = memoryPair({
          buffers,
          clientTakes: 0,
          upstreamTakes: 0,
          dialogue: hasDialogue ? dialogue() : null,
        })
        const run = new Run(it, buffers.highBytes)
        for (const step of steps) await run.step(step)
        for (const side of sides) it[side].take(Number.POSITIVE_INFINITY)
        await turn()
        // A side that has had its share of a turn is read on in the next.
        for (let i = 0; i < 100 && sides.some((side) => it[side].unread > 0); i++) await it.clock.pass(0)
        run.check()
        for (const side of sides) {
          const other = side === 'client' ? 'upstream' : 'client'
          if (it[side].unread > 0)
            throw new Error(`the ${side} is not read although the ${other} takes everything`)
          if (it[side].got.length !== run.fed[other]) throw new Error(`the ${side} lacks bytes`)
          if (it[side].gotFin !== run.finished[other])
            throw new Error(`FIN of the ${other} was lost or invented`)
          it[side].fin()
        }
        const end = await it.end()
        if (end?.reason !== 'eof') throw new Error(`ended with ${end?.reason}`)
        if (it.closed.length !== 1 || it.sweep.size !== 0) throw new Error('something is left')
      },
    ),
    { numRuns: 150 },
  )
  t.pass()
})

test('whatever happens to a pair, it ends once, as one, within the close deadline, and invents no byte', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      buffers,
      fc.array(fc.oneof(...moves, ...ends), { maxLength: 40 }),
      fc.option(fc.tuple(farewell, farewell, fc.boolean())),
      fc.integer({ min: 1, max: 3000 }),
      async (buffers, steps, words, closeMs) => {
        const talk =
          words === null
            ? null
            : dialogue({
                farewell: (half) => words[half.direction === 'to_client' ? 0 : 1],
                isAnswered: () => words[2],
              })
        const it = memoryPair({
          buffers,
          clientTakes: 0,
          upstreamTakes: 0,
          closeMs,
          dialogue: talk,
          deadlines: { writeMs: 4000, idleMs: 5000 },
        })
        const run = new Run(it, buffers.highBytes)
        for (const step of steps) await run.step(step)
        const first = it.connection.end
        it.pair.close(makeClose('killed', 'sidegate', 'relay'))
        await it.clock.pass(closeMs + 500)
        run.check()
        if (!it.client.isClosed || !it.upstream.isClosed) throw new Error('a half is left')
        if (it.closed.length !== 1) throw new Error(`its end was told ${it.closed.length} times`)
        if (it.sweep.size !== 0 || it.clock.armed.every !== 0) throw new Error('the sweep goes on')
        const { end } = it.connection
        const isDropped = / bytes? for the (client|upstream) dropped/.test(end?.detail ?? '')
        if (first !== null && end !== first && !isDropped) throw new Error('the first cause was overwritten')
        if (first !== null && end!.reason !== first.reason && first.reason !== 'eof')
          throw new Error('another reason took the place of the first')
        if (end!.reason === 'eof' && isDropped) throw new Error('bytes were dropped, and it is called eof')
      },
    ),
    { numRuns: 150 },
  )
  t.pass()
})

test('a source is paused when a whole read would not fit, and reads again at the low mark', async (t) => {
  const { client, upstream, pair, connection } = memoryPair({
    buffers: { highBytes: 100, lowBytes: 20, readBytes: 40 },
    upstreamTakes: 0,
  })
  client.feed('x'.repeat(40))
  t.same([client.isPaused, pair.isPaused('to_upstream')], [false, false])
  client.feed('x'.repeat(40))
  t.same([client.isPaused, pair.isPaused('to_upstream'), pair.isPaused('to_client')], [true, true, false])
  t.equal(pair.queued('upstream'), 80)
  client.feed('x'.repeat(40))
  t.equal(client.unread, 40)
  upstream.take(40)
  await turn()
  t.ok(client.isPaused, '40 wait, and 20 is the low mark')
  upstream.take(40)
  await turn()
  t.same([client.isPaused, pair.isPaused('to_upstream'), client.unread], [false, false, 0])
  t.equal(connection.toUpstream.pauses, 1)
  t.end()
})

test('a low mark too high for a whole read to fit does not break the bound', async (t) => {
  const { client, upstream } = memoryPair({
    buffers: { highBytes: 100, lowBytes: 90, readBytes: 60 },
    upstreamTakes: 0,
  })
  client.feed('x'.repeat(10))
  client.feed('x'.repeat(60))
  client.feed('x'.repeat(60))
  upstream.take(10)
  await turn()
  t.same([client.isPaused, upstream.queued], [true, 60])
  upstream.take(60)
  await turn()
  t.same([client.isPaused, upstream.queued], [true, 60])
  t.equal(client.unread, 0)
  t.end()
})

test('what is read although its source is paused is one pause', (t) => {
  const { client, pair, connection } = memoryPair({
    buffers: { highBytes: 10, lowBytes: 5, readBytes: 10 },
    upstreamTakes: 0,
  })
  for (let i = 0; i < 3; i += 1) t.notOk(pair.onBytes(client, Buffer.from('x'), 1))
  t.equal(connection.toUpstream.pauses, 1)
  t.end()
})

test('a stalled direction does not pause the other', async (t) => {
  const { client, upstream } = memoryPair({ clientTakes: 0 })
  upstream.feed('x'.repeat(200_000))
  client.feed('request')
  t.ok(upstream.isPaused)
  t.notOk(client.isPaused)
  t.equal(upstream.got.toString(), 'request')
  t.end()
})

test('what came before the pair goes first, and counts against the bound', async (t) => {
  const buffers = { highBytes: 10, lowBytes: 5, readBytes: 5 }
  const { client, upstream, connection } = memoryPair({
    buffers,
    upstreamTakes: 0,
    early: { fromClient: 'early12', fromUpstream: 'hello' },
  })
  await turn()
  t.equal(client.got.toString(), 'hello')
  t.ok(client.isPaused)
  client.feed('later')
  upstream.take(100)
  await turn()
  t.equal(upstream.got.toString(), 'early12later')
  t.same([connection.toUpstream.received, connection.toUpstream.sent], [12, 12])
  t.same([connection.toClient.received, connection.toClient.sent], [5, 5])
  t.end()
})
