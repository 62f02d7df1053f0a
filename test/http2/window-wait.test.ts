// The wait for the window of a client's connection. The test makes the sweeps, and is the kernel.

import { test } from 'tap'
import type { Endpoint } from '../../src/endpoint/endpoint.ts'
import type { PairLimits } from '../../src/limits/meter.ts'
import { WindowWait } from '../../src/http2/window-wait.ts'
import type { ClientFlow } from '../../src/http2/flow.ts'

const WRITE_MS = 8000

function setUp(minRate: PairLimits['minRate'] = null) {
  const flow = { isShut: true, sent: 0, dataAt: 0 }
  /** The bytes that the kernel holds, and those that we know it to hold. */
  const sink = {
    unacked: 0,
    inKernel: 0,
    measurements: 0,
    measure() {
      sink.measurements++
      sink.unacked = sink.inKernel
    },
  }
  const streams = [{ isWaitingForConnection: false }, { isWaitingForConnection: true }]
  const reports: unknown[] = []
  const limits = { minRate, report: (...all: unknown[]) => void reports.push(all) } as unknown as PairLimits
  const wait = new WindowWait(flow as ClientFlow, minRate === null ? undefined : limits, 0)
  let now = 0
  return {
    flow,
    sink,
    streams,
    reports,
    wait,
    now: () => now,
    /** Sweeps for `ms`, and returns the first verdict. */
    pass(ms: number, each = (): void => {}) {
      for (const until = now + ms; now < until;) {
        now += 250
        each()
        const close = wait.check(streams, sink as unknown as Endpoint, WRITE_MS, now)
        if (close !== null) return close
      }
      return null
    },
  }
}

test('a window that stays shut while a stream waits for it ends the connection after deadlines.write', (t) => {
  const { pass, now, wait } = setUp()
  t.match(pass(60_000), {
    reason: 'write_timeout',
    side: 'client',
    detail: /for 8\.\ds \(deadlines\.write\)/,
  })
  t.ok(now() >= WRITE_MS && now() <= WRITE_MS + 1000)
  t.equal(wait.lastDrainAt, 0)
  t.end()
})

test('nobody waits: the window is open, or no stream waits for it', (t) => {
  const open = setUp()
  open.flow.isShut = false
  t.equal(open.pass(60_000), null)
  t.equal(open.wait.lastDrainAt, 60_000)
  const quiet = setUp()
  quiet.streams[1]!.isWaitingForConnection = false
  t.equal(quiet.pass(60_000), null)
  t.equal(quiet.wait.lastDrainAt, 60_000)
  t.end()
})

test('DATA that leaves the socket is progress, other frames are none', (t) => {
  const slow = setUp()
  Object.assign(slow.flow, { sent: 100_000, dataAt: 100_000 })
  slow.sink.inKernel = slow.sink.unacked = 100_000
  t.equal(
    slow.pass(60_000, () => void (slow.sink.inKernel -= 100)),
    null,
  )
  t.ok(slow.wait.lastDrainAt > 50_000)
  const pings = setUp()
  Object.assign(pings.flow, { sent: 1000, dataAt: 1000 })
  t.match(
    pings.pass(60_000, () => void (pings.flow.sent += 17)),
    { reason: 'write_timeout' },
  )
  t.end()
})

const minRate = { bytesPerSec: 1000, afterMs: 2000, isEnforced: true }

test('DATA that goes out more slowly than limits.minRate ends the connection, and is reported once', (t) => {
  const { flow, pass, reports, now } = setUp(minRate)
  const trickle = (): void => {
    flow.sent += 10
    flow.dataAt = flow.sent
  }
  t.match(pass(60_000, trickle), { reason: 'too_slow', side: 'client' })
  t.ok(now() < 5000)
  pass(1000, trickle)
  t.same(reports, [['minRate', 'close', true]])
  t.end()
})

test('a limit that only counts reports, and ends nothing', (t) => {
  const { flow, pass, reports } = setUp({ ...minRate, isEnforced: false })
  const trickle = (): void => {
    flow.sent += 10
    flow.dataAt = flow.sent
  }
  t.equal(pass(60_000, trickle), null)
  t.same(reports, [['minRate', 'close', false]])
  t.end()
})

test('DATA that goes out fast enough is spared by limits.minRate, and so is a window that is open', (t) => {
  const fast = setUp(minRate)
  const flows = (): void => {
    fast.flow.sent += 300
    fast.flow.dataAt = fast.flow.sent
  }
  t.equal(fast.pass(60_000, flows), null)
  const open = setUp(minRate)
  open.flow.isShut = false
  t.equal(open.pass(60_000), null)
  t.end()
})

test('the rate counts what the client has taken, and not what the kernel holds', (t) => {
  const { flow, sink, pass } = setUp(minRate)
  const fill = (): void => {
    flow.sent += 300
    flow.dataAt = flow.sent
    sink.inKernel = sink.unacked += 300
  }
  t.match(pass(20_000, fill), { reason: 'too_slow' })
  t.end()
})

/** The kernel had room again (`KernelView.forget`): what it holds is unknown up to the next look. */
function forgetful(minRate?: PairLimits['minRate']) {
  const line = setUp(minRate)
  Object.assign(line.flow, { sent: 100_000, dataAt: 100_000 })
  line.sink.inKernel = line.sink.unacked = 100_000
  return line
}

test('a kernel that has room again is one step of progress, and what the next look finds there is none', (t) => {
  const { sink, pass, now, wait } = forgetful()
  t.equal(pass(4000), null)
  sink.unacked = 0
  t.match(pass(60_000), { reason: 'write_timeout' })
  t.equal(wait.lastDrainAt, 4250)
  t.ok(now() >= 4250 + WRITE_MS && now() <= 4250 + WRITE_MS + 1000, `${now()}`)
  t.equal(sink.unacked, 100_000)
  t.end()
})

test('bytes that a kernel with room holds, unknown for a moment, were not taken at limits.minRate', (t) => {
  const { sink, pass, now } = forgetful(minRate)
  t.equal(pass(1000), null)
  sink.unacked = 0
  t.match(pass(60_000), { reason: 'too_slow' })
  t.ok(now() < 6000, `${now()}`)
  const fast = forgetful(minRate)
  const takes = (): void => {
    fast.sink.inKernel -= 400
    if (fast.now() % 2000 === 0) fast.sink.unacked = 0
  }
  t.equal(fast.pass(50_000, takes), null, 'one that takes enough is spared')
  t.end()
})
