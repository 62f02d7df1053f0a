// Checks that this host cannot make: no finding about an address.

import { test } from 'tap'
import net from 'node:net'
import { makeClose } from '../../src/core/close.ts'
import type { Dial, SocketDialler } from '../../src/upstream/dial.ts'
import { HealthCheck } from '../../src/upstream/health-check.ts'
import { fakeClock } from '../support/fake-clock.ts'

const wants = ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']

/** A check whose dials end with what `times` says: an errno, or null for one that is accepted. */
function checking() {
  const clock = fakeClock()
  const turns: string[] = []
  let said: string | null = null
  const answer = (dialler: SocketDialler): void => {
    if (said === null) dialler.onSocket(new net.Socket(), 0)
    else dialler.onDialFailed(makeClose('connect_failed', 'upstream', 'connect', said))
  }
  const check = new HealthCheck(
    {
      type: 'tcp',
      path: '/',
      host: null,
      headers: {},
      status: [],
      intervalMs: 1000,
      timeoutMs: 500,
      healthy: 2,
      unhealthy: 3,
    },
    'a',
    {
      clock,
      random: () => 0.5,
      dial: (dialler) => {
        queueMicrotask(() => answer(dialler))
        return { cancel() {} } as Dial
      },
      onChecked: () => {},
      onTurned: (state) => turns.push(state),
    },
  )
  const times = async (code: string | null, count = 3): Promise<string> => {
    said = code
    for (let nth = 0; nth < count; nth++) await clock.pass(1000)
    return check.state
  }
  return { check, turns, times }
}

test('a check for which this host lacks descriptors or memory turns neither a healthy address nor a new one', async (t) => {
  const { check, turns, times } = checking()
  for (const code of wants) {
    t.equal(await times(code), 'unknown', code)
    t.equal(check.last?.problem, code, 'it is shown')
  }
  t.equal(await times(null), 'healthy')
  for (const code of wants) t.equal(await times(code), 'healthy', code)
  t.equal(await times('EHOSTUNREACH'), 'unhealthy', 'others do')
  t.equal(await times('EMFILE'), 'unhealthy')
  t.equal(await times(null), 'healthy')
  t.same(turns, ['unhealthy', 'healthy'])
  check.stop()
})

test('nor does one between two failures begin the count anew', async (t) => {
  const { check, times } = checking()
  t.equal(await times(null, 1), 'healthy')
  t.equal(await times('ECONNREFUSED', 2), 'healthy')
  t.equal(await times('EMFILE', 1), 'healthy')
  t.equal(await times('ECONNREFUSED', 1), 'unhealthy')
  check.stop()
})

test('a healthy address that has all local ports stays healthy; one to which there is no local address does not become so', async (t) => {
  for (const [first, last] of [
    [null, 'healthy'],
    ['EADDRNOTAVAIL', 'unhealthy'],
  ] as const) {
    const { check, times } = checking()
    await times(first, 1)
    t.equal(await times('EADDRNOTAVAIL', 5), last)
    check.stop()
  }
})
