import { test } from 'tap'
import { LastingCells } from '../../src/limits/lasting-cells.ts'

test('the count of a name is one for all that ask for it, and another name has another', (t) => {
  const cells = new LastingCells()
  const [one, same, other] = ['a', 'a', 'b'].map((name) => cells.count(name))
  t.equal(one, same)
  t.not(one, other)
  t.ok(one!.take(1))
  t.notOk(same!.take(1))
  t.ok(other!.take(1))
  t.end()
})

test('counts that are held are kept beside very many that nobody holds', (t) => {
  const cells = new LastingCells()
  const held = cells.count('held')
  held.take(1)
  for (let nth = 0; nth < 10_000; nth++) cells.count(String(nth))
  t.equal(cells.count('held'), held)
  t.end()
})
