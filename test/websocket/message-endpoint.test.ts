import fc from 'fast-check'
import { test } from 'tap'
import { Flow } from '../../src/core/connection.ts'
import { noOwner } from '../../src/admission/refusal.ts'
import type { PeerSide } from '../../src/core/close.ts'
import { MessageEndpoint } from '../../src/websocket/message-endpoint.ts'
import { slowConsumerPolicies } from '../../src/websocket/message-queue.ts'
import type { SlowConsumerPolicy } from '../../src/websocket/message-queue.ts'
import { encodeFrame, FrameReader } from '../support/frames.ts'
import type { Frame } from '../support/frames.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'
import { runs } from '../support/runs.ts'

interface Options {
  policy?: SlowConsumerPolicy
  queueBytes?: number
  takes?: number
  side?: PeerSide
}

function make({
  policy = 'wait',
  queueBytes = 4096,
  takes = Number.POSITIVE_INFINITY,
  side = 'client',
}: Options = {}) {
  const socket = new MemoryEndpoint(side, noOwner, { takes })
  const flow = new Flow()
  const seen = { violations: [] as string[], overflows: 0, dropped: 0, progress: 0 }
  const endpoint = new MessageEndpoint(
    socket,
    flow,
    { policy, queueBytes, highBytes: 4096, maxMessageBytes: 1e6, deflate: null },
    {
      onViolation: ({ code, detail }) => seen.violations.push(`${code} ${detail}`),
      onOverflow: () => seen.overflows++,
      onDropped: (_policy, messages) => (seen.dropped += messages),
    },
  )
  endpoint.owner = { ...noOwner, onProgress: () => seen.progress++ }
  const reader = new FrameReader()
  const frames: Frame[] = []
  let read = 0
  return {
    socket,
    flow,
    seen,
    endpoint,
    /** As a half does. */
    forward(frame: Buffer) {
      flow.sent += frame.length
      endpoint.write(Buffer.from(frame), 0, frame.length)
    },
    /** All that the peer took so far. */
    got() {
      frames.push(...reader.push(socket.got.subarray(read)))
      read = socket.got.length
      return frames
    },
    /** Sent, less what has not been taken, is what was taken: what the metrics and the deadlines go by. */
    isBalanced: () => flow.sent - endpoint.unacked === socket.got.length,
  }
}

const text = (payload: string, fin = true): Buffer => encodeFrame({ opcode: 'text', payload, fin })

test('a look for a peer that is gone reaches the socket', async (t) => {
  const { socket, endpoint } = make()
  let looks = 0
  Object.assign(socket, { checkPeer: () => looks++ })
  endpoint.checkPeer()
  t.equal(looks, 1)
})

test('a message goes on as one frame, once it is whole', async (t) => {
  const it = make()
  it.forward(text('one ', false))
  t.same(
    [it.socket.got.length, it.flow.sent, it.endpoint.queued, it.endpoint.unacked, it.endpoint.assembling],
    [0, 0, 0, 0, 4],
  )
  it.forward(encodeFrame({ opcode: 'continuation', payload: 'two' }))
  t.match(it.got(), [{ opcode: 'text', fin: true, payload: Buffer.from('one two'), mask: null }])
  t.same([it.flow.sent, it.endpoint.assembling], [9, 0])
})

test('frames for an upstream are masked, those for a client are not', async (t) => {
  const it = make({ side: 'upstream' })
  it.forward(encodeFrame({ opcode: 'binary', payload: 'x'.repeat(300), mask: true }))
  t.match(it.got(), [{ opcode: 'binary', payload: Buffer.from('x'.repeat(300)) }])
  t.not(it.got()[0]!.mask, null)
})

test('a frame of ours may stand inside a message of the other side: a ping goes ahead of what waits, a Close behind it', async (t) => {
  const it = make({ policy: 'dropOldest', takes: 10 })
  it.forward(text('x'.repeat(100)))
  it.forward(text('waits'))
  it.forward(text('unfinished', false))
  it.endpoint.inject(encodeFrame({ opcode: 'close', payload: Buffer.of(3, 0xe8) }))
  it.endpoint.inject(encodeFrame({ opcode: 'ping', payload: 'p' }))
  it.socket.take(10_000)
  t.same(
    it.got().map(({ opcode }) => opcode),
    ['text', 'ping', 'text', 'close'],
  )
  t.ok(it.isBalanced())
})

test('with a policy that drops, the socket is given no second message before it has taken the first', async (t) => {
  const it = make({ policy: 'dropNewest', takes: 0, queueBytes: 1000 })
  for (let i = 0; i < 10; i++) it.forward(text(`${i}`.repeat(50)))
  t.equal(it.socket.queued, 52)
  t.equal(it.seen.dropped, 6, 'three with 256 each fit 1000 bytes')
  it.socket.take(10_000)
  t.same(
    it.got().map(({ payload }) => payload.toString()[0]),
    ['0', '1', '2', '3'],
  )
  t.equal(it.endpoint.queued, 0)
})

test('what the socket takes at once leaves room that is used at once', async (t) => {
  const it = make({ policy: 'wait' })
  const many = Buffer.concat(Array.from({ length: 100 }, () => text('x'.repeat(1000))))
  it.forward(many)
  t.equal(it.got().length, 100)
})

test('an overflow frees the queue at once, and takes nothing more; what the socket holds may still be taken, and a Close behind it', async (t) => {
  const it = make({ policy: 'close', takes: 0, queueBytes: 1000 })
  for (let i = 0; i < 10; i++) it.forward(text(`${i}`.repeat(300)))
  t.equal(it.seen.overflows, 1)
  t.equal(it.endpoint.queued, 304)
  it.endpoint.inject(encodeFrame({ opcode: 'close', payload: Buffer.of(3, 0xf0) }))
  it.endpoint.close('flush')
  it.socket.take(10_000)
  await Promise.resolve()
  t.same(
    it.got().map(({ opcode }) => opcode),
    ['text', 'close'],
  )
  t.ok(it.socket.gotFin)
})

test('end and flush wait for what is queued; drop and reset do not, and it stays counted', async (t) => {
  for (const how of ['end', 'flush'] as const) {
    const it = make({ policy: 'dropOldest', takes: 0 })
    for (let i = 0; i < 5; i++) it.forward(text('x'.repeat(100)))
    if (how === 'end') it.endpoint.end()
    else it.endpoint.close('flush')
    t.notOk(it.socket.isEnding)
    it.socket.take(10_000)
    await Promise.resolve()
    t.ok(it.socket.gotFin, how)
    t.equal(it.got().length, 5)
  }
  for (const manner of ['drop', 'reset'] as const) {
    const it = make({ policy: 'dropOldest', takes: 0 })
    for (let i = 0; i < 5; i++) it.forward(text('x'.repeat(100)))
    const { queued } = it.endpoint
    it.endpoint.close(manner)
    t.same(it.socket.closes, [manner])
    t.equal(it.endpoint.queued, queued)
  }
})

test('text that is not UTF-8 is told once, and nothing behind it goes on', async (t) => {
  const it = make()
  it.forward(text('fine'))
  it.forward(
    Buffer.concat([
      encodeFrame({ opcode: 'text', payload: Buffer.of(0xff) }),
      text('behind'),
      encodeFrame({ opcode: 'text', payload: Buffer.of(0xff) }),
    ]),
  )
  t.same(it.seen.violations, ['1007 text that is not UTF-8'])
  t.match(it.got(), [{ payload: Buffer.from('fine') }])
  t.equal(it.got().length, 1)
})

const steps = fc.array(
  fc.oneof(
    fc.record({
      send: fc.oneof(fc.integer({ min: 4, max: 200 }), fc.integer({ min: 4, max: 9000 })),
      isCut: fc.boolean(),
    }),
    fc.record({ take: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 30_000 })) }),
    fc.constant({ ping: true as const }),
  ),
  { maxLength: 120 },
)

for (const policy of slowConsumerPolicies) {
  test(`${policy}: whatever the peer takes and when, it sees whole messages in order, each came or was dropped, and the counts balance at every step`, async (t) => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 300, max: 9000 }), (all, queueBytes) => {
        const it = make({ policy, queueBytes, takes: 0 })
        let sent = 0
        for (const step of all) {
          if ('take' in step) it.socket.take(step.take)
          else if ('ping' in step) it.endpoint.inject(encodeFrame({ opcode: 'ping', payload: 'p' }))
          else {
            const payload = Buffer.alloc(step.send, sent)
            payload.writeUInt32BE(sent++)
            const frame = encodeFrame({ opcode: 'binary', payload })
            const cut = step.isCut ? frame.length >> 1 : frame.length
            // The header whole, as the scanner gives it.
            it.forward(frame.subarray(0, Math.max(4, cut)))
            if (!it.isBalanced()) throw new Error('unbalanced inside a message')
            if (Math.max(4, cut) < frame.length) it.forward(frame.subarray(Math.max(4, cut)))
          }
          if (!it.isBalanced()) throw new Error(`unbalanced after ${JSON.stringify(step)}`)
        }
        it.socket.take(1e9)
        const numbers = it
          .got()
          .filter(({ opcode }) => opcode === 'binary')
          .map(({ payload }) => {
            const nth = payload.readUInt32BE()
            if (payload.subarray(4).some((byte) => byte !== (nth & 0xff))) throw new Error('not whole')
            return nth
          })
        if (!numbers.every((nth, i) => i === 0 || nth > numbers[i - 1]!)) return false
        if (it.seen.overflows > 0) return policy === 'close' && it.isBalanced()
        return (
          it.isBalanced() &&
          it.endpoint.queued === 0 &&
          numbers.length + it.seen.dropped === sent &&
          (policy !== 'wait' || it.seen.dropped === 0)
        )
      }),
      { numRuns: runs(300) },
    )
    t.pass('in each run')
  })
}
