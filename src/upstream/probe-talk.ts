// The common part of the probes of all protocols: their options, and their words for their results.

import type net from 'node:net'
import type { Close } from '../core/close.ts'
import type { Dial, SocketDialler } from './dial.ts'

export type ProbeType = 'tcp' | 'http' | 'grpc' | 'websocket'

/**
 * The problem, null if the address is well; what the address answered, if it answered anything; and the dial,
 * where it is the dial that failed.
 */
export type Found = (problem: string | null, answered: string | null, failedDial?: Close) => void

/** A range of statuses, both ends included. */
export interface StatusRange {
  from: number
  to: number
}

export interface ProbeOptions {
  type: ProbeType
  /** The service speaks HTTP/2 alone. */
  isHttp2?: boolean
  path: string
  /** The Host of the request, and headers that replace ours. */
  host: string
  headers: Readonly<Record<string, string>>
  /** The statuses that pass, with `http`. */
  status: readonly StatusRange[]
  /** Opens the connection. */
  dial: (dialler: SocketDialler) => Dial
}

export type Talk = (socket: net.Socket, options: ProbeOptions, done: Found) => () => string | null

/** A health endpoint has a short head; the rest of its answer is not read. */
export const MAX_HEADER_BYTES = 16 * 1024
export const USER_AGENT = 'sidegate-health-check'
/**
 * How much is read of the body of an answer that does not pass: it may say why (the expected host, a missing
 * dependency).
 */
export const MAX_WORDS = 120

/** Replaces all but printable ASCII: the words of a service are not trusted in a log line. */
export function printable(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/g, ' ').trim()
}

export const SILENT = 'no answer'

export function wordsOf(error: NodeJS.ErrnoException): string {
  return (error.code ?? error.message).slice(0, 120)
}
