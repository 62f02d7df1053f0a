// permessage-deflate with one client, also where the service does not know it (RFC 7692), by `ws`.
//
// Neither side keeps its window between two messages: a window each way would be 300 KB for every connection that has ever
// sent a compressed message. Both zlib streams go as soon as none of them works, so an idle connection holds none.
//
// A bomb costs `maxMessage` and no more: inflating stops there. At most ten of these jobs are in memory at a time in each
// thread (`ws` sees to that), so ten times `maxMessage` is what all bombs together can cost there.

import type { ExtensionParams, PerMessageDeflate } from './ws-parts.ts'
import { wsParts } from './ws-parts.ts'

/** Smaller messages are sent as they are: they would hardly shrink, and each would be a job for another thread. */
const WORTH_BYTES = 1024

export interface InflateError extends Error {
  code?: string
}

/** What inflating or deflating came to: data, or what `ws` says is wrong with it. */
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
    // Both streams at once, or none: to end one that works would lose its job.
    if (--this.#jobs === 0) this.#extension.cleanup()
    done(error, data)
  }
}

/** Accepts the first offer that can be: what works on it, and the answer for the client. Null if there is none. */
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
    // An offer that makes no sense is declined like one that is not known.
    return null
  }
  return { deflate: new Deflate(made), answer: extension.format({ 'permessage-deflate': [accepted] }) }
}
