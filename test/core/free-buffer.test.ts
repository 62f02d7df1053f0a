import { test } from 'tap'
import { freeBuffer } from '../../src/core/free-buffer.ts'

test('memory that belongs to one buffer goes, whatever others share stays', (t) => {
  const own = Buffer.alloc(20_000, 1)
  freeBuffer(own)
  t.equal(own.length, 0)
  freeBuffer(own)

  const pooled = Buffer.from('a few bytes')
  freeBuffer(pooled)
  t.equal(pooled.toString(), 'a few bytes')

  const whole = Buffer.alloc(20_000, 'x')
  const part = whole.subarray(100, 200)
  freeBuffer(part)
  t.equal(part.toString(), 'x'.repeat(100))
  t.equal(whole.length, 20_000)

  const shared = Buffer.from(new SharedArrayBuffer(100))
  freeBuffer(shared)
  t.equal(shared.length, 100)
  t.end()
})
