// What one call of a script brings: the leases of many clients, each answered as if it had been asked for alone.

import { test } from 'tap'
import { redisConnect } from '../../src/fleet/redis.ts'
import type { Command } from '../../src/fleet/store.ts'
import { eventually } from '../support/eventually.ts'
import { needs } from '../support/tools.ts'
import { plainTarget, redisServer } from './redis-server.ts'

/** An hour a token: nothing comes back while the test runs. */
const HOUR_US = 3600e6

function draw(prefix: string, nth: number): Command {
  const want = (nth % 7) + 1
  return { script: 'draw', key: `${prefix}bucket ${nth}`, args: [HOUR_US, 4, nth % 3, 0, want] }
}

function places(prefix: string, nth: number): Command {
  const gate = nth % 2 === 0 ? 'one' : 'other'
  const args = [gate, nth % 4, 1, 2, 4, 2, 30_000, 4000]
  return { script: 'places', key: `${prefix}client ${nth % 3}`, args }
}

test('many leases go in few calls, and each is answered as it is alone', needs('redis-server'), async (t) => {
  const redis = await redisServer(t)
  const addresses = [{ host: '127.0.0.1', port: redis.port }]
  const store = await redisConnect({ ...plainTarget, addresses })(new AbortController().signal)
  t.teardown(() => store.close())
  const batch = (prefix: string): Command[] => [
    ...Array.from({ length: 12 }, (_, nth) => [places(prefix, nth), draw(prefix, nth)]).flat(),
    ...Array.from({ length: 138 }, (_, nth) => draw(prefix, nth + 12)),
    { script: 'beat', key: `${prefix}gates`, args: ['one', 10_000, 'a secret'] },
    draw(prefix, 0),
  ]
  const alone = []
  for (const command of batch('alone ')) alone.push(...(await store.run([command])))
  const calls = async (): Promise<number> =>
    Number(/evalsha:calls=(\d+)/.exec(await redis.cli('info', 'commandstats'))![1])
  const before = await calls()
  const together = await store.run(batch('together '))
  t.equal((await calls()) - before, 3 + 1 + 1)
  // Milliseconds until there is more tell how long ago the first was asked.
  const told = (answers: typeof together) => answers.map(([first, rest]) => [first, Number(rest) > 0])
  t.same(told(together), told(alone))
  t.ok(new Set(together.map(([first]) => first)).size > 3, 'they are not all alike')
})

test(
  'a problem is told without what only a client or a script of ours knows',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const addresses = [{ host: '127.0.0.1', port: redis.port }]
    const store = await redisConnect({ ...plainTarget, addresses })(new AbortController().signal)
    t.teardown(() => store.close())
    await redis.cli('config', 'set', 'maxmemory', '1')
    const full = /^OOM command not allowed when used memory > 'maxmemory'\.$/
    await t.rejects(store.run([draw('', 1)]), { message: full })
    await t.rejects(store.run([draw('', 1)]), { message: full }, 'the script is known by now')
    await redis.cli('client', 'kill', 'type', 'normal')
    await eventually(
      async () => {
        const problem = await store.run([draw('', 1)]).catch((error: Error) => error.message)
        return problem === 'Connection is closed.'
      },
      { what: 'a connection that has ended' },
    )
  },
)
