import { test } from 'tap'
import { FrameScanner } from '../../src/websocket/frame-scanner.ts'
import { LEAST_BYTES_PER_SEC, Unfinished } from '../../src/websocket/unfinished.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { encodeFrame } from '../support/frames.ts'

const TIMEOUT = 1000
const nowhere = { forward() {} }

/** A message of `total` bytes whose head and first 100 bytes came at 0; swept every 50 ms. */
function begun(total: number) {
  const clock = fakeClock({ now: 0 })
  const rules = { isMasked: false, isCompressed: false, maxMessageBytes: 1e9, maxFragments: 1e6 }
  const scanner = new FrameScanner(rules, { onControl: () => 'pass', onBoundary() {} })
  const unfinished = new Unfinished(scanner)
  const state = { isHeld: false, endedAt: null as number | null }
  const bytes = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(total) })
  const head = bytes.length - total
  let at = head + 100
  const scan = (piece: Buffer): void => void scanner.scan(piece, piece.length, nowhere)
  scan(bytes.subarray(0, at))
  unfinished.sweep(TIMEOUT, false, 0)
  clock.every(50, () => {
    if (unfinished.sweep(TIMEOUT, state.isHeld, clock.now())) state.endedAt ??= clock.now()
  })
  const send = (count: number): void => {
    scan(bytes.subarray(at, (at += count)))
  }
  return { clock, unfinished, state, send, scan }
}

test('a message that has begun and does not go on is too slow at the timeout, not before', async (t) => {
  const { clock, state, unfinished } = begun(10_000)
  t.equal(unfinished.dueAt(TIMEOUT), TIMEOUT)
  await clock.pass(TIMEOUT - 1)
  t.equal(state.endedAt, null)
  await clock.pass(1)
  t.equal(state.endedAt, TIMEOUT)
})

test('a byte now and then is no progress, the least rate is, however long it takes', async (t) => {
  const trickle = begun(100_000)
  trickle.clock.every(100, () => trickle.send(1))
  await trickle.clock.pass(TIMEOUT)
  t.equal(trickle.state.endedAt, TIMEOUT)
  const poor = begun(100_000)
  poor.clock.every(100, () => poor.send(Math.ceil(LEAST_BYTES_PER_SEC / 10)))
  await poor.clock.pass(100 * TIMEOUT)
  t.equal(poor.state.endedAt, null)
  t.equal(poor.unfinished.since, 0, 'as old as it is')
})

test('a burst at the beginning buys no time later', async (t) => {
  const { clock, state, send } = begun(1_000_000)
  send(900_000)
  clock.every(100, () => send(1))
  await clock.pass(2 * TIMEOUT)
  t.equal(state.endedAt, 2 * TIMEOUT)
})

test('what is not read is nobody’s fault, and has a whole timeout once it is read again', async (t) => {
  const { clock, state } = begun(10_000)
  state.isHeld = true
  await clock.pass(10 * TIMEOUT)
  state.isHeld = false
  await clock.pass(TIMEOUT - 1)
  t.equal(state.endedAt, null)
  await clock.pass(51)
  t.not(state.endedAt, null)
})

test('between two messages nothing is due, and control frames do not keep one alive', async (t) => {
  const done = begun(200)
  done.send(100)
  t.equal(done.unfinished.dueAt(TIMEOUT), null)
  await done.clock.pass(10 * TIMEOUT)
  t.equal(done.state.endedAt, null)
  const fragments = begun(200)
  fragments.send(100)
  fragments.scan(encodeFrame({ opcode: 'text', payload: 'a', fin: false }))
  fragments.clock.every(50, () => fragments.scan(encodeFrame({ opcode: 'ping', payload: Buffer.alloc(125) })))
  await fragments.clock.pass(TIMEOUT + 50)
  t.not(fragments.state.endedAt, null)
})

test('one message after the other is never too old', async (t) => {
  const { clock, state, scan, send } = begun(200)
  send(100)
  const frame = encodeFrame({ opcode: 'text', payload: 'abcdef' })
  scan(frame.subarray(0, 4))
  clock.every(50, () => scan(Buffer.concat([frame.subarray(4), frame.subarray(0, 4)])))
  await clock.pass(20 * TIMEOUT)
  t.equal(state.endedAt, null)
})
