// permessage-deflate with one client, by `ws` (RFC 7692), even where the service does not know it.
//
// Neither side keeps its window between two messages: a window each way would be 300 KB for every connection
// that has ever sent a compressed message. Both zlib streams are freed as soon as neither works, so an idle
// connection holds none.
//
// A bomb costs at most `maxMessage`: inflating stops there. `ws` keeps at most ten of these jobs in memory at
// a time in each thread, so all bombs together cost at most ten times `maxMessage` there.

import type { ExtensionParams, PerMessageDeflate } from './ws-parts.ts'
import { wsParts } from './ws-parts.ts'

/** Smaller messages go uncompressed: they would hardly shrink, and each would be another thread's job. */
const WORTH_BYTES = 1024

export interface InflateError extends Error {
  code?: string
}

/** The result of inflating or deflating: data, or the error of `ws`. */
export type Done = (error: InflateError | null, data: Buffer) => void

export class Deflate {
  readonly #extension: PerMessageDeflate
  #jobs = 0

  constructor(extension: PerMessageDeflate) {
    this.#extension = extension
  }

  static isWorth(payload: Buffer): boolean {
    return payload.length >= WORTH_BYTES
  }

  deflate(payload: Buffer, done: Done): void {
    this.#jobs++
    this.#extension.compress(payload, true, (error, data) => this.#finish(error, data, done))
  }

  inflate(payload: Buffer, done: Done): void {
    this.#jobs++
    this.#extension.decompress(payload, true, (error, data) => this.#finish(error, data, done))
  }

  #finish(error: InflateError | null, data: Buffer, done: Done): void {
    // Frees both streams at once, or none: freeing a working one would lose its job.
    if (--this.#jobs === 0) this.#extension.cleanup()
    done(error, data)
  }
}

/**
 * Accepts the first offer that can be accepted: returns its compression, and the answer for the client. Null
 * if there is none.
 */
export function acceptDeflate(
  offer: string,
  maxMessageBytes: number,
): { deflate: Deflate; answer: string } | null {
  if (offer === '') return null
  const { PerMessageDeflate, extension } = wsParts()
  const made = new PerMessageDeflate({
    isServer: true,
    maxPayload: Number.isFinite(maxMessageBytes) ? maxMessageBytes : 0,
    serverNoContextTakeover: true,
    clientNoContextTakeover: true,
  })
  let accepted: ExtensionParams
  try {
    accepted = made.accept(extension.parse(offer)['permessage-deflate'] ?? [])
  } catch {
    // A nonsensical offer is declined like an unknown one.
    return null
  }
  return { deflate: new Deflate(made), answer: extension.format({ 'permessage-deflate': [accepted] }) }
}
