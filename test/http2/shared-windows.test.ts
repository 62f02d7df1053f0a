import { test } from 'tap'
import type { Settings } from 'node:http2'
import { SharedWindows } from '../../src/http2/shared-windows.ts'

type Taken = (error: Error | null, settings: Settings, ms: number) => void

function setUp() {
  const told: number[] = []
  let acknowledge: (() => void) | null = null
  const session = {
    destroyed: false,
    settings({ initialWindowSize }: Settings, taken?: Taken) {
      told.push(initialWindowSize!)
      acknowledge = () => taken!(null, {}, 0)
    },
  }
  const windows = new SharedWindows(session)
  const streams = Array.from({ length: 40 }, () => ({}))
  return {
    windows,
    session,
    told,
    streams,
    stall: (from: number, to: number) =>
      streams.slice(from, to).forEach((stream) => windows.onStalled(stream)),
    read: (from: number, to: number) => streams.slice(from, to).forEach((stream) => windows.onRead(stream)),
    acknowledge: () => acknowledge!(),
  }
}

test('sixteen that nobody reads have large windows, with one more all have small ones, at once and once', (t) => {
  const { told, stall, windows, acknowledge } = setUp()
  stall(0, 16)
  stall(0, 16)
  windows.sweep()
  t.same(told, [], 'one that is told of twice is one')
  stall(16, 17)
  t.same(told, [16_384])
  stall(17, 40)
  acknowledge()
  windows.sweep()
  t.same(told, [16_384])
  t.end()
})

test('they are large again once four are left, and not with each that comes and goes', (t) => {
  const { told, stall, read, windows, acknowledge } = setUp()
  stall(0, 17)
  acknowledge()
  read(0, 12)
  windows.sweep()
  stall(0, 12)
  t.same(told, [16_384])
  read(0, 13)
  t.same(told, [16_384], 'not before the next sweep')
  windows.sweep()
  t.same(told, [16_384, 65_535])
  t.end()
})

test('a peer that acknowledges nothing is told nothing more; one that does, what holds by then', (t) => {
  const { told, stall, read, windows, acknowledge } = setUp()
  stall(0, 17)
  read(0, 17)
  windows.sweep()
  t.same(told, [16_384])
  acknowledge()
  windows.sweep()
  t.same(told, [16_384, 65_535])
  stall(0, 20)
  t.same(told, [16_384, 65_535])
  acknowledge()
  windows.sweep()
  t.same(told, [16_384, 65_535, 16_384])
  t.end()
})

test('a session that is gone is told nothing', (t) => {
  const { told, stall, session, windows } = setUp()
  session.destroyed = true
  stall(0, 20)
  windows.sweep()
  t.same(told, [])
  t.end()
})
