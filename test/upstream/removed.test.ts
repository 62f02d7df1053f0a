import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { LocalCount } from '../../src/core/cells.ts'
import type { Connection } from '../../src/core/connection.ts'
import type { Dial, SocketDialler } from '../../src/upstream/dial.ts'
import type { HealthCheck } from '../../src/upstream/health-check.ts'
import { Removed } from '../../src/upstream/removed.ts'
import { UpstreamTarget } from '../../src/upstream/target.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { target } from './parts.ts'

/** An address with one connection, which no answer has any more. */
function setUp() {
  const clock = fakeClock()
  const diallers: SocketDialler[] = []
  const removed = new Removed({
    onRemoved: 'keep',
    clock,
    connections: [],
    dial: (_, dialler) => {
      diallers.push(dialler)
      return { cancel() {} } as unknown as Dial
    },
  })
  const gone = new UpstreamTarget(target(80), 'a', () => {}, new LocalCount())
  gone.take({} as Connection, clock.now())
  removed.add(gone)
  /** Another answer without it; the look that this makes fails so. */
  const fail = (detail: string): void => {
    removed.judge(new Set())
    diallers.at(-1)!.onDialFailed(makeClose('connect_failed', 'upstream', 'connect', detail))
  }
  return { removed, gone, fail }
}

test('two looks in a row that find nobody evict an address that is gone, one does not', (t) => {
  const { removed, gone, fail } = setUp()
  fail('EHOSTUNREACH')
  t.equal(gone.eviction, null)
  fail('EHOSTUNREACH')
  t.not(gone.eviction, null)
  removed.stop()
  t.end()
})

test('a look that fails for want of our own descriptors, ports or memory says nothing of the address', (t) => {
  const { removed, gone, fail } = setUp()
  for (const code of ['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']) fail(code)
  t.equal(gone.eviction, null)
  removed.stop()
  t.end()
})

test('an address that comes back to DNS is spared, unless its health checks speak against it', (t) => {
  for (const state of ['healthy', 'unhealthy'] as const) {
    const { removed, gone, fail } = setUp()
    fail('EHOSTUNREACH')
    fail('EHOSTUNREACH')
    gone.check = { state, stop() {} } as unknown as HealthCheck
    removed.restore(gone)
    t.equal(gone.presence, 'there')
    t.equal(gone.eviction === null, state === 'healthy', state)
    gone.retire()
  }
  t.end()
})
