import { test } from 'tap'
import { collectGarbage, heapWarning } from '../../src/overload/heap.ts'

const MIB = 1024 * 1024

test('a heap that may grow beyond three quarters of the container is warned of, with the remedy', (t) => {
  t.equal(heapWarning(256 * MIB, 192 * MIB), null, 'at the edge it fits')
  const warning = heapWarning(256 * MIB, 192 * MIB + 1)
  t.match(warning, /192 MiB in a container of 256 MiB.*NODE_OPTIONS=--max-old-space-size-percentage=50/)
  t.end()
})

test('what Node chooses by default fits from half a gibibyte on, and with the remedy below it', (t) => {
  t.ok(heapWarning(256 * MIB, 262 * MIB), 'the default at 256 MiB')
  t.equal(heapWarning(256 * MIB, 134 * MIB), null, '--max-old-space-size-percentage=50 at 256 MiB')
  t.equal(heapWarning(512 * MIB, 268 * MIB), null, 'the default at 512 MiB')
  t.end()
})

test('buffers that nobody holds any more are given back when garbage is collected', async (t) => {
  let buffers: Buffer[] = Array.from({ length: 64 }, () => Buffer.alloc(64 * 1024, 1))
  const before = process.memoryUsage().arrayBuffers
  t.equal(buffers.length, 64)
  buffers = []
  collectGarbage()
  // The memory itself is swept by a thread of V8's.
  await new Promise((resolve) => setImmediate(resolve))
  const freed = before - process.memoryUsage().arrayBuffers
  t.ok(freed > 3 * MIB, `${freed} bytes`)
  t.equal((globalThis as { gc?: unknown }).gc, undefined, 'and nobody else is given the means')
})
