import { test } from 'tap'
import { RenderGate } from '../../src/ops/render-gate.ts'
import { fakeClock } from '../support/fake-clock.ts'

test('askers of one moment share a render; one who asks while it runs gets a later one', async (t) => {
  const clock = fakeClock()
  const running: Array<(text: string) => void> = []
  const gate = new RenderGate(clock, () => new Promise<string>((resolve) => running.push(resolve)))
  const first = [gate.render(), gate.render()]
  await clock.pass(0)
  t.equal(running.length, 1)
  const late = [gate.render(), gate.render()]
  await clock.pass(0)
  t.equal(running.length, 1, 'one at a time')
  running[0]?.('one')
  t.same(await Promise.all(first), ['one', 'one'])
  await clock.pass(0)
  running[1]?.('two')
  t.same(await Promise.all(late), ['two', 'two'])
})

test('after a render of n ms the next one waits for three times that', async (t) => {
  const clock = fakeClock()
  let renders = 0
  const gate = new RenderGate(clock, async () => {
    clock.freeze(10)
    return ++renders
  })
  t.equal(await gate.render(), 1)
  await clock.pass(0)
  const second = gate.render()
  await clock.pass(29)
  t.equal(renders, 1)
  await clock.pass(1)
  t.equal(await second, 2)
})

test('a render that fails fails for its askers only', async (t) => {
  let renders = 0
  const gate = new RenderGate(fakeClock(), async () => {
    if (++renders === 1) throw new Error('no')
    return renders
  })
  await t.rejects(gate.render(), { message: 'no' })
  t.equal(await gate.render(), 2)
})
