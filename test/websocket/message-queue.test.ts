import fc from 'fast-check'
import { test } from 'tap'
import { KEEPING_BYTES, MessageQueue, slowConsumerPolicies } from '../../src/websocket/message-queue.ts'
import type { Waiting } from '../../src/websocket/message-queue.ts'
import { runs } from '../support/runs.ts'

const message = (length: number, nth = 0): Waiting => ({
  opcode: 2,
  isCompressed: false,
  payload: Buffer.alloc(length, nth),
})
const close: Waiting = { opcode: 0, isCompressed: false, payload: Buffer.of(0x88, 0) }
/** So much that `count` messages of `length` just fit. */
const roomFor = (count: number, length: number): number => count * (length + KEEPING_BYTES)

function drained(queue: MessageQueue): Waiting[] {
  const all: Waiting[] = []
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) all.push(next)
  return all
}

test('what fits to the byte is kept, and one byte more gives way', async (t) => {
  for (const [policy, results] of [
    ['close', [0, 'overflow']],
    ['dropNewest', [0, 1]],
    ['dropOldest', [0, 1]],
  ] as const) {
    for (const excess of [0, 1]) {
      const queue = new MessageQueue(policy, roomFor(2, 100))
      t.equal(queue.push(message(100)), 0)
      t.equal(queue.push(message(100 + excess)), results[excess], `${policy}, ${excess} more`)
    }
  }
})

test('wait keeps all: who is held back is the sender', async (t) => {
  const queue = new MessageQueue('wait', 1)
  for (let i = 0; i < 100; i++) t.equal(queue.push(message(1000)), 0)
  t.same([queue.length, queue.bytes], [100, 100_000])
})

test('messages of no bytes at all are bounded too', async (t) => {
  const queue = new MessageQueue('dropNewest', 10 * KEEPING_BYTES)
  for (let i = 0; i < 1000; i++) queue.push(message(0))
  t.equal(queue.length, 10)
})

test('a message that is larger than the queue fits it while it is empty; with others waiting it is judged by the policy', async (t) => {
  for (const policy of slowConsumerPolicies)
    t.equal(new MessageQueue(policy, 1000).push(message(5000)), 0, policy)
  const after = { close: 'overflow', dropNewest: 1, dropOldest: 2 } as const
  for (const policy of ['close', 'dropNewest', 'dropOldest'] as const) {
    const queue = new MessageQueue(policy, 1000)
    queue.push(message(1))
    queue.push(message(2))
    t.equal(queue.push(message(5000)), after[policy], policy)
    t.same(
      drained(queue).map(({ payload }) => payload.length),
      policy === 'dropOldest' ? [5000] : [1, 2],
    )
  }
})

test('a Close is never dropped, and nothing that came before it is dropped for what comes behind', async (t) => {
  for (const policy of ['close', 'dropNewest', 'dropOldest'] as const) {
    const queue = new MessageQueue(policy, roomFor(1, 10))
    queue.push(message(10))
    t.equal(queue.push(close), 0)
    t.same(
      drained(queue).map(({ opcode }) => opcode),
      [2, 0],
    )
    queue.push(close)
    queue.push(message(10))
    t.equal(drained(queue)[0], close, policy)
  }
})

type Step = { push: number } | 'shift'
const steps = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({
        push: fc.oneof(fc.integer({ min: 4, max: 50 }), fc.integer({ min: 4, max: 5000 })),
      }),
    },
    { weight: 2, arbitrary: fc.constant<'shift'>('shift') },
  ),
  { maxLength: 200 },
)

for (const policy of ['dropOldest', 'dropNewest'] as const) {
  test(`${policy}: whatever comes and goes, the rest is whole and in order, within the bound, and every message came out or was counted`, async (t) => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 300, max: 20_000 }), (all: Step[], maxBytes) => {
        const queue = new MessageQueue(policy, maxBytes)
        const sent: number[] = []
        const got: number[] = []
        let dropped = 0
        const take = (next: Waiting | undefined): void => {
          if (next === undefined) return
          const nth = next.payload.readUInt32BE()
          if (next.payload.length !== sent[nth]) throw new Error('not whole')
          got.push(nth)
        }
        for (const step of all) {
          if (step === 'shift') {
            take(queue.shift())
            continue
          }
          const payload = Buffer.alloc(step.push)
          payload.writeUInt32BE(sent.length)
          sent.push(step.push)
          const gaveWay = queue.push({ opcode: 2, isCompressed: false, payload })
          if (gaveWay === 'overflow') throw new Error('overflow')
          dropped += gaveWay
          const held = queue.bytes + queue.length * KEEPING_BYTES
          if (queue.length > 1 && held > maxBytes) throw new Error(`${held} of ${maxBytes}`)
          if (policy === 'dropOldest' && !lastOf(queue).equals(payload))
            throw new Error('the newest was not kept')
        }
        for (const next of drained(queue)) take(next)
        return (
          queue.bytes === 0 &&
          got.length + dropped === sent.length &&
          got.every((nth, i) => i === 0 || nth > got[i - 1]!)
        )
      }),
      { numRuns: runs(500) },
    )
    t.pass('in each run')
  })
}

/** The last message, by emptying a queue and filling it again. */
function lastOf(queue: MessageQueue): Buffer {
  const all = drained(queue)
  for (const next of all) queue.push(next)
  return all.at(-1)!.payload
}
