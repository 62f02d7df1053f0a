import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { columns, OPEN, rows } from './crossings.ts'

const words = Object.entries(columns)

for (const [rule, row] of Object.entries(rows))
  test(`the crossings of ${rule}`, (t) => {
    t.equal(row.cells.length, words.length, 'one for each column')
    for (const [nth, cell] of row.cells.entries()) {
      const [column, ofColumn] = words[nth]!
      if (cell === OPEN || cell.startsWith('- ')) continue
      const file = cell.startsWith('system/') ? `${cell}.test.ts` : `wire/${cell}.test.ts`
      const text = readFileSync(join(import.meta.dirname, file), 'utf8')
      t.match(text, row.words, `${file} speaks of ${rule}`)
      t.match(text, ofColumn, `${file} speaks of ${column}`)
    }
    t.end()
  })
