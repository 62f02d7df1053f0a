import { test } from 'tap'
import { LogLevelSwitch } from '../../src/admin/log-level.ts'
import type { Leveled } from '../../src/admin/log-level.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp } from './admin.ts'

function setLevel(level: Leveled['level'] = 'info') {
  const clock = fakeClock()
  const log: Leveled = { level }
  return { clock, log, levels: new LogLevelSwitch(log, clock) }
}

test('a level that was changed for a while goes back by itself, and not before', async (t) => {
  const { clock, log, levels } = setLevel('warn')
  levels.set('debug', 5000)
  t.same(levels.view(), {
    level: 'debug',
    goesBackTo: 'warn',
    goesBackAt: new Date(clock.wall() + 5000).toISOString(),
  })
  await clock.pass(4999)
  t.equal(log.level, 'debug')
  await clock.pass(1)
  t.same(levels.view(), { level: 'warn', goesBackTo: null, goesBackAt: null })
})

test('a second change keeps the level from before both, and counts from anew', async (t) => {
  const { clock, log, levels } = setLevel()
  levels.set('debug', 5000)
  await clock.pass(4000)
  levels.set('error', 5000)
  await clock.pass(4999)
  t.equal(log.level, 'error')
  await clock.pass(1)
  t.equal(log.level, 'info')
})

test('a change for good is no timer, and ends one that is pending', async (t) => {
  const { clock, log, levels } = setLevel()
  levels.set('debug', 5000)
  levels.set('warn', null)
  t.equal(clock.armed.after, 0)
  await clock.pass(10_000)
  t.equal(log.level, 'warn')
})

test('at the end of the server the level goes back at once, and nothing stays armed', async (t) => {
  const clock = fakeClock()
  const { get, log, server } = await setUp(t, { clock })
  await get('/log?level=debug&for=5m', {}, 'POST')
  t.equal(log.level, 'debug')
  await server.stop()
  t.equal(log.level, 'info')
  t.equal(clock.armed.after, 0)
})

test('over HTTP: looked at with GET, changed with POST, and what is not understood changes nothing', async (t) => {
  const { row, get, log } = await setUp(t)
  t.same(await row('/log'), { level: 'info', goesBackTo: null, goesBackAt: null })
  t.match(await row('/log?level=debug&for=1s', 'POST'), {
    level: 'debug',
    goesBackTo: 'info',
    goesBackAt: /Z$/,
  })
  t.match(await row('/log?level=warn&for=24h', 'POST'), { level: 'warn', goesBackTo: 'info' })
  t.match(await row('/log?level=error', 'POST'), { level: 'error', goesBackTo: null })
  for (const query of [
    '',
    'level=loud',
    'level=debug&for=5',
    'level=debug&for=999ms',
    'level=debug&for=86401s',
    'level=debug&for=',
    'level=debug&till=5m',
  ]) {
    t.equal((await get(`/log?${query}`, {}, 'POST')).status, 400, query)
  }
  t.equal(log.level, 'error')
})

test('a level that a reload brings is the one that a level for a while goes back to', async (t) => {
  const { clock, log, levels } = setLevel('info')
  levels.set('debug', 5000)
  levels.configure('warn')
  t.same([log.level, levels.view().goesBackTo], ['debug', 'warn'])
  await clock.pass(5000)
  t.equal(log.level, 'warn')
})

test('a reload that says what the file said before leaves the level of an operator alone, and one that says something else ends it', async (t) => {
  const { log, levels } = setLevel('info')
  levels.set('debug', null)
  levels.configure('info')
  t.equal(log.level, 'debug')
  levels.configure('warn')
  t.equal(log.level, 'warn')
})
