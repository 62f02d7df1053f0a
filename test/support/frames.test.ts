import { test } from 'tap'
import { closePayload, encodeFrame, FrameReader, type Frame } from './frames.ts'

const decode = (bytes: Buffer): Frame[] => new FrameReader().push(bytes)

test('a frame reads back as it was written', (t) => {
  for (const size of [0, 1, 125, 126, 65_535, 65_536]) {
    const payload = Buffer.alloc(size, 'x')
    for (const mask of [false, true]) {
      const [frame] = decode(encodeFrame({ opcode: 'binary', payload, mask }))
      t.match(frame, {
        opcode: 'binary',
        fin: true,
        rsv: 0,
        lengthBits: size < 126 ? 7 : size < 65_536 ? 16 : 64,
      })
      t.ok(frame!.payload.equals(payload))
      t.equal(frame!.mask !== null, mask)
    }
  }
  t.end()
})

test('the bytes are those of RFC 6455 section 5.7', (t) => {
  const mask = Buffer.from('37fa213d', 'hex')
  t.equal(encodeFrame({ opcode: 'text', payload: 'Hello' }).toString('hex'), '810548656c6c6f')
  t.equal(encodeFrame({ opcode: 'text', payload: 'Hello', mask }).toString('hex'), '818537fa213d7f9f4d5158')
  t.equal(encodeFrame({ opcode: 'text', payload: 'Hel', fin: false }).toString('hex'), '010348656c')
  t.equal(encodeFrame({ opcode: 'continuation', payload: 'lo' }).toString('hex'), '80026c6f')
  t.equal(encodeFrame({ opcode: 'ping', payload: 'Hello' }).toString('hex'), '890548656c6c6f')
  t.equal(encodeFrame({ opcode: 'binary', payload: Buffer.alloc(256) }).toString('hex', 0, 4), '827e0100')
  t.equal(
    encodeFrame({ opcode: 'binary', payload: Buffer.alloc(65_536) }).toString('hex', 0, 10),
    '827f0000000000010000',
  )
  t.end()
})

test('invalid frames can be written', (t) => {
  t.equal(encodeFrame({ opcode: 3, rsv: 7 }).toString('hex'), 'f300')
  t.equal(encodeFrame({ opcode: 'text', payload: 'a', lengthBits: 16 }).toString('hex'), '817e000161')
  t.equal(
    encodeFrame({ opcode: 'text', payload: 'a', lengthBits: 64 }).toString('hex'),
    '817f000000000000000161',
  )
  t.equal(
    encodeFrame({ opcode: 'text', payload: 'a', declares: 2n ** 62n }).toString('hex'),
    '817f400000000000000061',
  )
  t.equal(encodeFrame({ opcode: 'text', declares: 2n ** 64n - 1n }).toString('hex'), '817fffffffffffffffff')
  t.equal(
    encodeFrame({ opcode: 'ping', payload: Buffer.alloc(126), fin: false }).toString('hex', 0, 4),
    '097e007e',
  )
  t.equal(encodeFrame({ opcode: 'text', payload: 'abc', declares: 1 }).toString('hex'), '8101616263')
  t.end()
})

test('a stream is cut into the same frames whatever the pieces', (t) => {
  const stream = Buffer.concat([
    encodeFrame({ opcode: 'text', payload: 'one', fin: false, rsv: 4 }),
    encodeFrame({ opcode: 'ping', payload: 'two', mask: true }),
    encodeFrame({ opcode: 'continuation', payload: Buffer.alloc(70_000, 'z') }),
    encodeFrame({ opcode: 'close', payload: closePayload(1001, 'idle_timeout') }),
  ])
  const whole = decode(stream)
  t.match(whole, [
    { rsv: 4, fin: false },
    { opcode: 'ping' },
    { opcode: 'continuation' },
    { opcode: 'close' },
  ])
  for (const size of [1, 7, 65_536]) {
    const reader = new FrameReader()
    const frames: Frame[] = []
    for (let at = 0; at < stream.length; at += size)
      frames.push(...reader.push(stream.subarray(at, at + size)))
    t.same(frames, whole)
    t.equal(reader.rest.length, 0)
  }
  t.end()
})

test('a close frame shows its code and reason, and 1005 without one', (t) => {
  const frame = encodeFrame({ opcode: 'close', payload: closePayload(1012, 'drain') })
  t.match(decode(frame), [{ code: 1012, reason: 'drain' }])
  t.match(decode(encodeFrame({ opcode: 'close' })), [{ code: 1005, reason: '' }])
  t.end()
})

test('a frame that is not complete stays in the rest', (t) => {
  const reader = new FrameReader()
  t.same(reader.push(encodeFrame({ opcode: 'text', payload: 'abc', declares: 10 })), [])
  t.equal(reader.rest.length, 5)
  t.end()
})
