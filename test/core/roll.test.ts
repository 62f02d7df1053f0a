import t from 'tap'
import { Roll } from '../../src/core/roll.ts'

/** With 1 to `count`, each of them twice what it is called. */
function rollOf(count: number): Roll<{ name: number }> {
  const roll = new Roll<{ name: number }>()
  for (let number = 1; number <= count; number++) roll.add(number, { name: 2 * number })
  return roll
}

const names = (roll: Roll<{ name: number }>): number[] => [...roll].map(({ name }) => name)

t.test('keeps what has come, in order, until it goes', async (t) => {
  const roll = rollOf(3)
  t.equal(roll.size, 3)
  t.equal(roll.get(2)?.name, 4)
  t.ok(roll.delete(2, roll.get(2)!))
  t.strictSame(names(roll), [2, 6])
  t.equal(roll.size, 2)
  t.equal(roll.get(2), undefined)
  t.equal(roll.get(0), undefined)
  t.equal(roll.get(4), undefined)
})

t.test('lets only that go which has the number', async (t) => {
  const roll = rollOf(2)
  t.notOk(roll.delete(1, roll.get(2)!))
  t.notOk(roll.delete(3, { name: 6 }))
  const first = roll.get(1)!
  t.ok(roll.delete(1, first))
  t.notOk(roll.delete(1, first), 'a second time')
  t.strictSame(names(roll), [4])
})

t.test('does as a Map does, whatever comes and goes', async (t) => {
  const roll = new Roll<{ name: number }>()
  const map = new Map<number, { name: number }>()
  let [last, seed] = [0, 1]
  const random = (below: number): number => (seed = (seed * 48_271) % 0x7fff_ffff) % below
  for (let step = 0; step < 20_000; step++) {
    // It grows to some hundreds and shrinks to nothing, over and over.
    if (random(10) < (step % 4000 < 2000 ? 6 : 4)) {
      last += 1 + random(3)
      const item = { name: last }
      roll.add(last, item)
      map.set(last, item)
    } else if (map.size > 0) {
      const number = [...map.keys()][random(map.size)]!
      if (!roll.delete(number, map.get(number)!)) t.fail(`${number} was there`)
      map.delete(number)
    }
    if (step % 500 === 0) t.strictSame([...roll], [...map.values()])
    if (roll.size !== map.size || roll.get(last) !== map.get(last)) t.fail(`differs in step ${step}`)
  }
})

t.test('shows each once to a walk in which others come and go', async (t) => {
  const roll = rollOf(100)
  const seen: number[] = []
  let last = 100
  for (const { name } of roll) {
    seen.push(name)
    // All that the walk has passed, so that the rest moves up again and again; and one that is yet to come.
    const gone = roll.get(name / 2)
    if (gone !== undefined) roll.delete(name / 2, gone)
    if (name === 10) roll.delete(50, roll.get(50)!)
    if (name === 20) roll.add(++last, { name: 2 * last })
  }
  const all = Array.from({ length: 101 }, (_, index) => 2 * (index + 1))
  t.strictSame(
    seen,
    all.filter((name) => name !== 100),
  )
  t.equal(roll.size, 0)
})
