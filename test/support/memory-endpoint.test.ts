import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { MemoryEndpoint } from './memory-endpoint.ts'
import type { MemoryOptions } from './memory-endpoint.ts'

function setUp(options: MemoryOptions = {}) {
  const seen: string[] = []
  let reads = true
  const endpoint = new MemoryEndpoint(
    'client',
    {
      onBytes(_endpoint, bytes, length) {
        seen.push(bytes.toString('latin1', 0, length))
        return reads
      },
      onEnd: () => void seen.push('FIN'),
      onProgress: (endpoint) => void seen.push(`progress, ${endpoint.queued} queued`),
      onClosed: (_endpoint, error) =>
        void seen.push(error === null ? 'closed' : `closed by ${error.code ?? ''}`),
    },
    options,
  )
  const write = (text: string): void => endpoint.write(Buffer.from(text), 0, text.length)
  return { endpoint, seen, write, pauseAfterRead: () => (reads = false) }
}

test('a new endpoint is paused, and blind to bytes, FIN and RST until it is resumed', async (t) => {
  const { endpoint, seen } = setUp()
  endpoint.feed('hello')
  endpoint.rst()
  await turn()
  t.same(seen, [])
  endpoint.resume()
  t.same(seen, [], 'the owner is not called from within resume')
  await turn()
  t.same(seen, ['hello', 'closed by ECONNRESET'])
})

test('a read brings no more than readBytes, and false from the owner pauses', async (t) => {
  const { endpoint, seen, pauseAfterRead } = setUp({ readBytes: 2 })
  endpoint.resume()
  endpoint.feed('abc')
  t.same(seen, ['ab', 'c'])
  pauseAfterRead()
  endpoint.feed('defg')
  endpoint.fin()
  t.same(seen, ['ab', 'c', 'de'])
  t.equal(endpoint.unread, 2)
  endpoint.resume()
  await turn()
  endpoint.resume()
  await turn()
  t.same(seen, ['ab', 'c', 'de', 'fg', 'FIN'])
})

test('what was read is overwritten once the owner returns', (t) => {
  let kept: Buffer = Buffer.alloc(0)
  const onBytes = (_endpoint: unknown, bytes: Buffer): boolean => ((kept = bytes), true)
  const endpoint = new MemoryEndpoint('client', { onBytes, onEnd() {}, onProgress() {}, onClosed() {} })
  endpoint.isPaused = false
  endpoint.feed('abc')
  t.same(kept, Buffer.alloc(3, 0xee))
  t.end()
})

test('an endless sink takes a write at once and copies it', (t) => {
  const { endpoint, seen } = setUp()
  const bytes = Buffer.from('hello')
  endpoint.write(bytes, 1, 4)
  bytes.fill(0)
  t.equal(endpoint.got.toString(), 'ell')
  t.same([endpoint.queued, endpoint.unacked], [0, 0])
  t.same(seen, [])
  t.end()
})

test('a stalled sink takes nothing; unacked falls with every byte taken, queued with every whole write', (t) => {
  const { endpoint, seen, write } = setUp({ takes: 1 })
  write('abc')
  write('de')
  t.same([endpoint.queued, endpoint.unacked], [5, 4])
  t.equal(endpoint.take(1), 1)
  t.same([endpoint.queued, endpoint.unacked], [5, 3])
  t.same(seen, [])
  endpoint.take(1)
  t.same([endpoint.queued, endpoint.unacked], [2, 2])
  t.same(seen, ['progress, 2 queued'])
  t.equal(endpoint.take(100), 2)
  t.equal(endpoint.got.toString(), 'abcde')
  endpoint.stall()
  write('f')
  t.same([endpoint.queued, endpoint.unacked], [1, 1])
  t.end()
})

test('FIN follows what is queued, and both FINs close', async (t) => {
  const { endpoint, seen, write } = setUp({ takes: 0 })
  endpoint.resume()
  write('abc')
  endpoint.end()
  write('ignored')
  await turn()
  t.notOk(endpoint.gotFin)
  endpoint.take(10)
  t.ok(endpoint.gotFin)
  t.equal(endpoint.got.toString(), 'abc')
  t.notOk(endpoint.isClosed)
  endpoint.fin()
  t.ok(endpoint.isClosed)
  await turn()
  t.same(seen, ['progress, 0 queued', 'FIN', 'closed'])
})

test('flush ends and reads on; drop and reset close at once, and onClosed follows', async (t) => {
  const flushed = setUp({ takes: 0 })
  flushed.write('a')
  flushed.endpoint.close('flush')
  t.notOk(flushed.endpoint.isClosed)
  t.notOk(flushed.endpoint.isPaused)
  flushed.endpoint.close('reset')
  t.same(flushed.endpoint.closes, ['flush', 'reset'])
  t.ok(flushed.endpoint.gotReset)

  const dropped = setUp({ takes: 0 })
  dropped.write('a')
  dropped.endpoint.close('drop')
  dropped.endpoint.close('reset')
  t.same(dropped.endpoint.closes, ['drop'])
  t.same([dropped.endpoint.gotFin, dropped.endpoint.gotReset], [true, false])
  t.same(dropped.seen, [], 'the owner is not called from within close')
  await turn()
  t.same(dropped.seen, ['closed'])
})

test('what the kernel holds is unacked only as it was last measured', async (t) => {
  const { endpoint } = setUp()
  endpoint.inKernel = 5
  t.equal(endpoint.unacked, 0)
  endpoint.measure()
  t.equal(endpoint.unacked, 0, 'a moment later')
  await turn()
  endpoint.inKernel = 3
  t.same([endpoint.unacked, endpoint.queued], [5, 0])
  endpoint.measure()
  await turn()
  t.same([endpoint.unacked, endpoint.measured], [3, 2])
})
