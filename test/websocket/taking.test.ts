import fc from 'fast-check'
import { test } from 'tap'
import { runs } from '../support/runs.ts'
import { fixed } from '../../src/core/live.ts'
import { Pinger } from '../../src/websocket/pinger.ts'
import { Drainable } from '../../src/websocket/taking.ts'

const ROOM = 1000

/** A side whose kernel has room for 1,000 bytes ahead of it; the rest of what is sent is queued by us. */
class Line {
  sent = 0
  /** Positions in the sent bytes. */
  inKernel = 0
  reached = 0
  readonly #looked = { unacknowledged: 0, unread: 0, looks: 0 }

  readonly sink = {
    line: this as Line,
    get queued(): number {
      return this.line.queued
    },
    look: () => this.#looked,
  }

  get queued(): number {
    return this.sent - this.inKernel
  }

  send(bytes: number): void {
    this.sent += bytes
    this.#fill()
  }

  /** As Linux does: there is room only once a third of it is free. */
  reach(bytes: number): void {
    this.reached = Math.min(this.inKernel, this.reached + bytes)
    if (this.inKernel - this.reached <= (ROOM * 2) / 3) this.#fill()
  }

  answer(): void {
    this.#looked.unacknowledged = this.inKernel - this.reached
    this.#looked.looks++
  }

  #fill(): void {
    this.inKernel = Math.min(this.sent, this.reached + ROOM)
  }
}

test('what leaves our queue for the kernel behind its answer has reached nobody', (t) => {
  const line = new Line()
  line.send(1500)
  const taking = new Drainable(line.sent)
  t.notOk(taking.look(line.sink, line.sent))
  line.reach(300)
  line.answer()
  line.answer()
  line.reach(100)
  t.equal(line.queued, 100, 'the kernel had room')
  t.ok(taking.look(line.sink, line.sent))
  t.equal(taking.reached, 300)
  t.end()
})

test('a side has never come further than it has, and is seen to have come there once nothing else moves', (t) => {
  const step = fc.record({
    what: fc.constantFrom('send', 'reach', 'answers', 'look'),
    bytes: fc.integer({ min: 1, max: 300 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const line = new Line()
      line.send(1500)
      const taking = new Drainable(0)
      for (const { what, bytes } of steps) {
        if (what === 'look') taking.look(line.sink, line.sent)
        else if (what === 'answers') for (let nth = 0; nth < 2; nth++) line.answer()
        else line[what](bytes)
        if (taking.reached > line.reached) return false
      }
      for (let nth = 0; nth < 5; nth++) {
        taking.look(line.sink, line.sent)
        line.answer()
      }
      return taking.reached === line.reached
    }),
    { numRuns: runs(10_000) },
  )
  t.end()
})

test('a ping that waits behind what a slow link takes makes nobody stalled, though our queue went into the kernel during a look', (t) => {
  const ping = { intervalMs: 1000, timeoutMs: 400, misses: 1, to: 'both' } as const
  const pinger = new Pinger('client', fixed({ ping }), 0)
  const line = new Line()
  line.send(1900)
  const verdicts: Array<string | null> = []
  const seen = { received: 0, isBlind: false, sink: line.sink, writeMs: 3000 }
  const sweep = (now: number): void => {
    const verdict = pinger.sweep({ ...seen, sent: line.sent }, now)
    if (verdict === 'ask') line.send(pinger.ask(now, line.sent).length + 2)
    else verdicts.push(verdict)
  }
  for (let now = 1000; now < 20_000; now += 50) {
    sweep(now)
    line.answer()
    // The link goes on by a byte each time; a third of the kernel's room is free between its answer and a sweep.
    line.reach(now === 1100 ? 330 : now === 1150 ? 10 : 1)
  }
  t.equal(
    verdicts.find((one) => one !== null),
    undefined,
  )
  t.ok(line.reached < 1900, 'the ping has not come there')
  t.end()
})
