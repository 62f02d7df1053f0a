// The rate limits of a pair: a meter for each half that draws from a bucket, and the least rate.

import { Meter } from '../limits/meter.ts'
import type { HalfRates, PairLimits } from '../limits/meter.ts'
import { MinRate } from '../limits/min-rate.ts'
import type { Connection } from '../core/connection.ts'
import type { Half } from './half.ts'

export interface Limited {
  readonly toUpstream: Half
  readonly toClient: Half
}

/**
 * Gives the halves of `pair` their meters, and returns its least rate, or null. `readBytes` is the most that
 * one read brings.
 */
export function limitHalves(
  pair: Limited,
  connection: Connection,
  limits: PairLimits,
  readBytes: number,
): MinRate | null {
  const rates = limits.ratesOf(connection)
  const { minRate } = limits
  const meter = (half: Half, drawn: HalfRates): void => {
    if (drawn.bytes !== null || drawn.messages !== null || connection.namesClients)
      half.meter = new Meter(half, drawn, readBytes, limits)
  }
  if (rates !== null) {
    meter(pair.toUpstream, rates.toUpstream)
    meter(pair.toClient, rates.toClient)
  }
  return minRate && new MinRate(minRate, pair, () => limits.report('minRate', 'close', minRate.isEnforced))
}

/** Lets the halves draw from another client's buckets, once the connection's client has changed. */
export function drawAnew(
  { toUpstream, toClient }: Limited,
  connection: Connection,
  limits: PairLimits | undefined,
): void {
  const rates = limits?.ratesOf(connection) ?? null
  if (rates === null) return
  toUpstream.drawFrom(rates.toUpstream)
  toClient.drawFrom(rates.toClient)
}
