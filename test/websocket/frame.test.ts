import { test } from 'tap'
import { reasonNames } from '../../src/core/close.ts'
import { closePayload, controlFrame } from '../../src/websocket/frame.ts'
import { CLOSE, PING } from '../../src/websocket/frame-scanner.ts'
import { FrameReader } from '../support/frames.ts'

test('a control frame is read as it was made, masked or not, each with a mask of its own', (t) => {
  const masks = new Set<string>()
  for (const length of [0, 1, 4, 8, 125]) {
    const payload = Buffer.alloc(length, 0xa5)
    t.match(new FrameReader().push(controlFrame(PING, payload, false)), [
      { opcode: 'ping', fin: true, rsv: 0, mask: null, payload },
    ])
    // More than the pool of masks holds.
    for (let i = 0; i < 300; i++) {
      const [frame] = new FrameReader().push(controlFrame(PING, payload, true))
      if (frame?.mask == null || !frame.payload.equals(payload)) return t.fail(`payload of ${length} bytes`)
      masks.add(frame.mask.toString('hex'))
    }
  }
  t.ok(masks.size > 1490, `${masks.size} masks in 1500 frames`)
  return t.end()
})

test('every reason fits a Close frame, and a longer text is cut to fit', (t) => {
  for (const reason of reasonNames) {
    t.match(new FrameReader().push(controlFrame(CLOSE, closePayload(1011, reason), true)), [
      { opcode: 'close', code: 1011, reason },
    ])
  }
  t.match(new FrameReader().push(controlFrame(CLOSE, closePayload(1000, 'x'.repeat(500)), false)), [
    { code: 1000, reason: 'x'.repeat(123) },
  ])
  t.end()
})
