import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { describeManner, mannerFor, type Farewell } from '../../src/core/manner.ts'

const close = makeClose('ping_timeout', 'client', 'relay')

test('an answer or a GOAWAY is flushed for a peer whose reason would drop it, and nobody hears of a side of our own', async (t) => {
  const table: Array<[Farewell, string, string | null]> = [
    ['answered', 'flush', 'an answer that says why, then FIN'],
    ['left', 'flush', 'GOAWAY, then FIN'],
    ['nothing', 'drop', 'FIN, and what waited was dropped'],
    ['done', 'drop', 'FIN, and what waited was dropped'],
    ['nobody', 'drop', null],
  ]
  for (const [farewell, manner, words] of table) {
    const found = mannerFor(close, 'client', farewell)
    t.same([found, describeManner(close, 'client', farewell, found)], [manner, words], farewell)
  }
})

test('a side of our own is dropped whatever the reason', async (t) => {
  for (const reason of ['eof', 'killed', 'drain'] as const)
    t.equal(mannerFor(makeClose(reason, 'sidegate', 'relay'), 'upstream', 'nobody'), 'drop', reason)
})
