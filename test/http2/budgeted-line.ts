// A client's connection with its budgets and windows, for the tests of both.

import type { Test } from 'tap'
import type { Close } from '../../src/core/close.ts'
import { FrameBudgets } from '../../src/http2/frame-budgets.ts'
import { ClientFlow } from '../../src/http2/flow.ts'
import { FrameScanner } from '../../src/http2/frame-scanner.ts'
import type { Frame, FrameJudge } from '../../src/http2/frame-scanner.ts'
import { fakeClock } from '../support/fake-clock.ts'
import * as h2 from '../support/h2-frames.ts'

/** A client's connection and the ends of its two scanners. */
export function connection(maxHeaderBytes = 16_384) {
  const clock = fakeClock()
  const flow = new ClientFlow()
  const judge = new FrameBudgets(clock, { maxHeaderBytes, flow })
  const counted = (onFrame: (frame: Frame) => void, { onFrame: ask }: FrameJudge): FrameJudge => ({
    onFrame: (frame) => (onFrame(frame), ask.call(judge, frame)),
  })
  const inbound = new FrameScanner(
    counted((frame) => flow.onFrame(frame), judge),
    { hasPreface: false },
  )
  const outbound = new FrameScanner(
    counted((frame) => flow.onFrameOut(frame), judge.outbound),
    { hasPreface: false },
  )
  const through = (scanner: FrameScanner, frames: Buffer[]): Close | null => {
    const bytes = Buffer.concat(frames)
    scanner.scan(bytes, 0, bytes.length)
    return scanner.fault
  }
  return {
    clock,
    flow,
    client: (...frames: Buffer[]) => through(inbound, frames),
    gate: (...frames: Buffer[]) => through(outbound, frames),
    /** How many of these it takes until the connection ends; Infinity if it does not within `most`. */
    until(make: (nth: number) => Buffer | Buffer[], most = 5000): number {
      for (let nth = 1; nth <= most; nth++) if (through(inbound, [make(nth)].flat()) !== null) return nth
      return Number.POSITIVE_INFINITY
    },
    get fault() {
      return inbound.fault ?? outbound.fault
    },
  }
}
export type Line = ReturnType<typeof connection>

export const answer = (stream: number): Buffer[] => [
  h2.headers(stream, h2.GET, h2.END_HEADERS),
  h2.data(stream, Buffer.alloc(100), h2.END_STREAM),
]
export const get = (stream: number): Buffer => h2.headers(stream, h2.GET)
export const serve = (line: Line, id: number, isAnswered = false): void =>
  line.flow.open(id, {
    window: 0,
    openedAt: line.clock.now(),
    isAnswered,
    onFramed: () => {},
    onEnded: () => {},
  })
/** Uses up what stream 1 and the connection may be sent, and as much again as one byte opens in a test. */
export function shut(line: Line): void {
  serve(line, 1)
  for (let at = 0; at < 20; at++) line.gate(h2.data(1, Buffer.alloc(16_384)))
}

export function isFlood(t: Test, line: Line, words: string): void {
  t.match(line.fault, {
    reason: 'rate_limited',
    side: 'client',
    phase: 'relay',
    http2Code: h2.codes.ENHANCE_YOUR_CALM,
    detail: new RegExp(words),
  })
}
