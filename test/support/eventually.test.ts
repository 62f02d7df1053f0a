import { test } from 'tap'
import { eventually, isSettled, within } from './eventually.ts'

test('eventually gives the first truthy thing it sees', async (t) => {
  let looks = 0
  t.equal(await eventually(() => (++looks === 4 ? 'seen' : null)), 'seen')
  t.equal(looks, 4)
})

test('eventually waits for a look that is a promise', async (t) => {
  t.equal(await eventually(async () => 7), 7)
})

test('eventually fails at its bound with what it waited for', async (t) => {
  await t.rejects(
    eventually(() => false, { withinMs: 20, what: 'a miracle' }),
    { message: 'waited 20 ms for a miracle' },
  )
})

test('eventually looks once more at its bound', async (t) => {
  t.equal(await eventually(() => true, { withinMs: 0 }), true)
})

test('eventually fails with what a look throws', async (t) => {
  await t.rejects(
    eventually(() => {
      throw new Error('broken look')
    }),
    { message: 'broken look' },
  )
})

test('within gives what the promise gives, and leaves no timer', async (t) => {
  t.equal(await within(Promise.resolve(3)), 3)
  t.notOk(process.getActiveResourcesInfo().includes('Timeout'))
  await t.rejects(within(Promise.reject(new Error('no')), {}), { message: 'no' })
})

test('within fails at its bound with what it waited for', async (t) => {
  const never = new Promise(() => {})
  await t.rejects(within(never, { withinMs: 10, what: 'nothing' }), { message: 'waited 10 ms for nothing' })
})

test('isSettled tells an open promise from a fulfilled or rejected one', async (t) => {
  t.equal(await isSettled(new Promise(() => {})), false)
  t.equal(await isSettled(Promise.resolve()), true)
  t.equal(await isSettled(Promise.reject(new Error('no'))), true)
})
