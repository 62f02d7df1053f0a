// What the probes of all protocols share: what they are asked to look at, and their words for what they found.

import type net from 'node:net'
import type { Dial, SocketDialler } from './dial.ts'

export type ProbeType = 'tcp' | 'http' | 'grpc' | 'websocket'

/** Null if the address is well, or what is wrong with it; and what it said, as far as it said something. */
export type Found = (problem: string | null, answered: string | null) => void

/** Of the status of an answer, both included. */
export interface StatusRange {
  from: number
  to: number
}

export interface ProbeOptions {
  type: ProbeType
  /** The service speaks HTTP/2 alone. */
  isHttp2?: boolean
  path: string
  /** The Host of the request, and headers that take the place of ours. */
  host: string
  headers: Readonly<Record<string, string>>
  /** Those that pass, with `http`. */
  status: readonly StatusRange[]
  /** Opens the connection. */
  dial: (dialler: SocketDialler) => Dial
}

export type Talk = (socket: net.Socket, options: ProbeOptions, done: Found) => () => string | null

/** A health endpoint has a short head; the rest of its answer is not read. */
export const MAX_HEADER_BYTES = 16 * 1024
export const USER_AGENT = 'sidegate-health-check'
/** Of the body of an answer that does not pass: it may say why (which host it wants, which dependency is missing). */
export const MAX_WORDS = 120

/** The words of a service are not trusted in a log line. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/g, ' ').trim()
}

export const SILENT = 'no answer'

export function wordsOf(error: NodeJS.ErrnoException): string {
  return (error.code ?? error.message).slice(0, 120)
}
