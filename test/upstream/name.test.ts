import { test } from 'tap'
import { Name } from '../../src/upstream/name.ts'

test('the time for which there is no such name is counted from the first word of it to an answer, and stands still while the resolver fails', (t) => {
  const name = new Name('a')
  name.onAnswer(['10.0.0.1'], 5)
  t.same([name.absentMs(1000), name.isAbsent, name.isAnswered, name.absentAt], [0, false, true, null])
  name.onAbsent('ENOTFOUND', 1000, 6)
  t.same([name.absentMs(3000), name.isAbsent, name.isAnswered, name.absentAt], [2000, true, false, 6])
  name.onProblem('EAI_AGAIN', 4000)
  name.onProblem('EAI_AGAIN', 5000)
  t.same([name.absentMs(9000), name.isAbsent], [3000, false], 'a resolver that is out of order says nothing')
  name.onAbsent('ENOTFOUND', 10_000, 7)
  t.same([name.absentMs(10_500), name.absentAt], [9500, 6], 'it was there all the time')
  name.onAnswer(['10.0.0.1'], 8)
  t.same([name.absentMs(11_000), name.absentAt, name.problem], [0, null, null])
  t.end()
})

test('what is known of a name that nobody asked for is used if the next question fails, and forgotten if it is answered or there is no such name', (t) => {
  const rested = (): Name => {
    const name = new Name('a')
    name.onAnswer(['10.0.0.1'], 5)
    name.rest()
    return name
  }
  t.equal(rested().isUnknown, true)
  const failed = rested()
  failed.onProblem('EAI_AGAIN', 1)
  t.same([failed.isUnknown, [...failed.misses.keys()]], [false, ['10.0.0.1']])
  const answered = rested()
  answered.onAnswer(['10.0.0.2'], 6)
  t.same(
    [answered.isUnknown, [...answered.misses.keys()]],
    [false, ['10.0.0.2']],
    'an address of long ago is not missing, it is forgotten',
  )
  const absent = rested()
  absent.onAbsent('ENOTFOUND', 1, 6)
  t.same([absent.isUnknown, absent.misses.size, absent.answeredAt], [false, 0, null])
  const never = new Name('a')
  never.rest()
  never.onProblem('EAI_AGAIN', 1)
  t.same([never.isUnknown, never.answeredAt], [false, null])
  t.end()
})
