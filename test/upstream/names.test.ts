import { test } from 'tap'
import { setImmediate as turn } from 'node:timers/promises'
import type { Name } from '../../src/upstream/name.ts'
import { Names } from '../../src/upstream/names.ts'
import { fakeClock } from '../support/fake-clock.ts'

interface Asked {
  name: string
  answer: (addresses: string[]) => Promise<void>
  fail: (code: string) => Promise<void>
}

function addressesOf({ misses }: Name): string {
  return [...misses]
    .filter(([, missed]) => missed === 0)
    .map(([address]) => address)
    .join()
}

function setUp(refreshMs = 15_000) {
  const clock = fakeClock()
  const asked: Asked[] = []
  const lookup = (name: string): Promise<string[]> => {
    const { promise, resolve, reject } = Promise.withResolvers<string[]>()
    asked.push({
      name,
      answer: (addresses) => (resolve(addresses), turn()),
      fail: (code) => (reject(Object.assign(new Error(code), { code })), turn()),
    })
    return promise
  }
  const names = new Names({ lookup, refreshMs }, clock, () => 0.5)
  const watch = (name: string) => {
    const told: string[] = []
    const { known, stop } = names.watch(name, () =>
      told.push(known.isAnswered ? addressesOf(known) : known.problem!),
    )
    return { told, known, stop }
  }
  return { clock, asked, names, watch }
}

test('a name is asked for at once, and again a refresh after each answer, not before', async (t) => {
  const { clock, asked, watch } = setUp()
  const { told } = watch('a')
  t.equal(asked.length, 1)
  await clock.pass(4000)
  await asked[0]!.answer(['10.0.0.1', '10.0.0.1', 'junk', 'fe80::1%eth0'])
  t.same(told, ['10.0.0.1'])
  await clock.pass(14_999)
  t.equal(asked.length, 1)
  await clock.pass(1)
  t.equal(asked.length, 2)
})

test('of one name, no more than one lookup runs, however many watch it', async (t) => {
  const { asked, watch } = setUp()
  const [one, other] = [watch('a'), watch('a')]
  t.equal(asked.length, 1)
  await asked[0]!.answer(['::1'])
  t.same([one.told, other.told], [['::1'], ['::1']])
})

test('no more than two lookups run; a third name gets the slot of the first that returns', async (t) => {
  const { clock, asked, watch } = setUp()
  for (const name of ['a', 'b', 'c', 'd']) watch(name)
  await clock.pass(60_000)
  t.same(
    asked.map(({ name }) => name),
    ['a', 'b'],
    'a lookup that hangs keeps its slot, as it keeps its thread',
  )
  await asked[1]!.fail('EAI_AGAIN')
  t.same(
    asked.map(({ name }) => name),
    ['a', 'b', 'c'],
  )
})

test('a lookup that takes 5 s is a problem, and its late answer still counts', async (t) => {
  const { clock, asked, watch } = setUp()
  const { told } = watch('a')
  await clock.pass(4999)
  t.same(told, [])
  await clock.pass(1)
  t.same(told, ['no answer within 5s'])
  await asked[0]!.answer(['10.0.0.1'])
  t.same(told, ['no answer within 5s', '10.0.0.1'])
})

test('after a problem it is asked again after 1 s, then 2, then 4, and never more seldom than the refresh', async (t) => {
  const { clock, asked, watch } = setUp(3000)
  const { told } = watch('a')
  for (const [index, waitMs] of [1000, 2000, 3000, 3000].entries()) {
    await asked[index]!.fail('ENOTFOUND')
    await clock.pass(waitMs - 1)
    t.equal(asked.length, index + 1)
    await clock.pass(1)
    t.equal(asked.length, index + 2)
  }
  await asked[4]!.answer([])
  t.same(told, ['ENOTFOUND', 'ENOTFOUND', 'ENOTFOUND', 'ENOTFOUND', 'no addresses'])
})

test('a name that nobody watches any more is neither told of nor asked for, and leaves no timer', async (t) => {
  const { clock, asked, watch } = setUp()
  const [one, other] = [watch('a'), watch('b')]
  await asked[0]!.answer(['10.0.0.1'])
  one.stop()
  other.stop()
  await asked[1]!.answer(['10.0.0.1'])
  t.same(other.told, [])
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
  await clock.pass(60_000)
  t.equal(asked.length, 2)
})

test('of names that nobody watches any more the last 256 are remembered, for an hour', async (t) => {
  const { clock, asked, watch } = setUp()
  for (let nth = 0; nth < 300; nth++) {
    const { stop } = watch(`n${nth}`)
    await asked.at(-1)!.answer(['10.0.0.1'])
    stop()
  }
  const remembers = (name: string): boolean => {
    const { known, stop } = watch(name)
    stop()
    return known.answeredAt !== null
  }
  t.same(['n0', 'n20', 'n60', 'n299'].map(remembers), [false, false, true, true])
  await clock.pass(3_600_001)
  watch('other').stop()
  t.equal(remembers('n100'), false, 'an hour later')
})
