import { test } from 'tap'
import { makeClose, probeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import type { LogFields } from '../../src/log/line.ts'
import { Rejections } from '../../src/log/rejections.ts'
import { fakeClock } from '../support/fake-clock.ts'

const tooMany = makeClose('too_many', 'client', 'admit', 'limits.connections')

function told(probes = true) {
  const clock = fakeClock()
  const lines: LogFields[] = []
  const quiet: LogFields[] = []
  const remembered: Close[] = []
  const log = {
    probes,
    info: (_message: string, fields?: LogFields) => void lines.push(fields ?? {}),
    debug: (_message: string, fields?: LogFields) => void quiet.push(fields ?? {}),
  }
  const rejections = new Rejections(log, clock, (_listener, close) => void remembered.push(close))
  return { clock, lines, quiet, remembered, log, rejections }
}

test('a probe is told at debug only, unless all are wanted', async (t) => {
  const { clock, lines, quiet, remembered, log, rejections } = told(false)
  const probe = probeClose('reset', 'before its accept')
  for (let nth = 0; nth < 3; nth++) rejections.note('app', probe, () => '10.0.0.1:1')
  rejections.note('app', makeClose('reset', 'client', 'admit', 'ECONNRESET'), () => '10.0.0.1:1')
  await clock.pass(3000)
  t.match(quiet, [{ close: 'reset', detail: 'before its accept', count: 1 }, { count: 2 }])
  t.match(lines, [{ close: 'reset', detail: 'ECONNRESET' }])
  t.equal(remembered.length, 1)
  log.probes = true
  rejections.note('app', probe, () => '10.0.0.1:1')
  t.equal(lines.length, 2)
  t.equal(remembered.length, 2)
})

test('the first refusal is told at once, those of the next second are counted, and other reasons have lines of their own', async (t) => {
  const { clock, lines, rejections } = told()
  rejections.note('app', tooMany, () => '10.0.0.1:1')
  for (let i = 0; i < 999; i++)
    rejections.note('app', tooMany, () => String(t.fail('who is only counted was asked for its address')))
  t.match(lines, [
    { listener: 'app', client: '10.0.0.1:1', close: 'too_many', side: 'client', phase: 'admit', count: 1 },
  ])
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

test('refusals for one reason with different details are told and counted each for itself', async (t) => {
  const { clock, lines, rejections } = told()
  const perClient = makeClose('too_many', 'client', 'admit', 'limits.connectionsPerClient')
  for (let i = 0; i < 5; i++) rejections.note('app', tooMany, () => '10.0.0.1:1')
  for (let i = 0; i < 7; i++) rejections.note('app', perClient, () => '10.0.0.2:2')
  t.match(lines, [
    { client: '10.0.0.1:1', detail: 'limits.connections', count: 1 },
    { client: '10.0.0.2:2', detail: 'limits.connectionsPerClient', count: 1 },
  ])
  await clock.pass(1000)
  rejections.note('app', perClient, () => '10.0.0.3:3')
  t.match(lines.slice(2), [{ client: '10.0.0.3:3', detail: 'limits.connectionsPerClient', count: 7 }])
})

test('what was counted is told although nobody comes after it, and then nothing is left of it', async (t) => {
  const { clock, lines, rejections } = told()
  for (let i = 0; i < 5; i++) rejections.note('app', tooMany, () => '10.0.0.1:1')
  rejections.note('app', makeClose('denied', 'client', 'admit', 'access'), () => '10.0.0.2:2')
  await clock.pass(1999)
  t.equal(lines.length, 2)
  await clock.pass(1)
  t.match(lines.slice(2), [
    { listener: 'app', client: undefined, close: 'too_many', detail: 'limits.connections', count: 4 },
  ])
  t.equal(lines.length, 3)
  t.equal(clock.armed.every, 0, 'no timer')
})

test('details that never end are told together, and no kind is lost', async (t) => {
  const { clock, lines, rejections } = told()
  for (let i = 0; i < 1000; i++)
    rejections.note('app', makeClose('protocol_error', 'client', 'admit', `words ${i}`), () => '10.0.0.1:1')
  t.equal(lines.length, 257)
  t.match(lines.at(-1), { close: 'protocol_error', detail: 'of several kinds', count: 1 })
  rejections.note('app', makeClose('denied', 'client', 'admit', 'access'), () => '10.0.0.1:1')
  t.match(lines.at(-1), { close: 'denied', detail: 'of several kinds', count: 1 })
  await clock.pass(2000)
  t.match(lines.at(-1), { close: 'protocol_error', detail: 'of several kinds', count: 743 })
})
