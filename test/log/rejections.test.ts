import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import type { LogFields } from '../../src/log/line.ts'
import { Rejections } from '../../src/log/rejections.ts'
import { fakeClock } from '../support/fake-clock.ts'

const tooMany = makeClose('too_many', 'client', 'admit', 'limits.connections')

test('the first refusal is told at once, those of the next second are counted, and other reasons have lines of their own', async (t) => {
  const clock = fakeClock()
  const lines: LogFields[] = []
  const rejections = new Rejections({ info: (_message, fields) => void lines.push(fields ?? {}) }, clock)
  rejections.note('app', tooMany, () => '10.0.0.1:1')
  for (let i = 0; i < 999; i++) rejections.note('app', tooMany, () => String(t.fail('who is only counted was asked for its address')))
  t.match(lines, [{ listener: 'app', client: '10.0.0.1:1', close: 'too_many', side: 'client', phase: 'admit', count: 1 }])
  t.equal(lines.length, 1)
  rejections.note('other', tooMany, () => '10.0.0.3:3')
  rejections.note('app', makeClose('denied', 'client', 'admit'), () => '10.0.0.4:4')
  t.equal(lines.length, 3)
  await clock.pass(1000)
  rejections.note('app', tooMany, () => '10.0.0.5:5')
  t.match(lines.at(-1), { client: '10.0.0.5:5', count: 1000 })
  await clock.pass(1000)
  rejections.note('app', tooMany, () => '10.0.0.6:6')
  t.match(lines.at(-1), { client: '10.0.0.6:6', count: 1 })
})
