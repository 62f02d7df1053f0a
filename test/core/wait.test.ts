import { test } from 'tap'
import { counted, earliest, formatBytes } from '../../src/core/wait.ts'
import type { NextDeadline } from '../../src/core/wait.ts'

const due = (at: number): NextDeadline => ({
  key: 'deadlines.idle',
  reason: 'idle_timeout',
  side: 'client',
  at,
})

test('the first deadline that is due comes next; what is off or not armed does not', async (t) => {
  t.equal(earliest([due(30), null, due(20), due(Number.POSITIVE_INFINITY), due(25)])?.at, 20)
  t.equal(earliest([null, due(Number.POSITIVE_INFINITY)]), null)
  t.equal(earliest([]), null)
})

test('bytes are told as a person would', async (t) => {
  const table: [number, string][] = [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [12_288, '12 KiB'],
    [1024 ** 2 - 1, '1 MiB'],
    [5.25 * 1024 ** 2, '5.3 MiB'],
    [3 * 1024 ** 3, '3 GiB'],
  ]
  for (const [bytes, text] of table) t.equal(formatBytes(bytes), text, String(bytes))
})

test('one is one', async (t) => {
  t.same(
    [0, 1, 2].map((count) => counted(count, 'byte')),
    ['0 bytes', '1 byte', '2 bytes'],
  )
})
