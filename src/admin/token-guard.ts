// The token guard: admits requests that carry the token, from anywhere, and no others. The token is in a
// file: Kubernetes mounts it from a Secret and swaps it while we run, so it is read again when it is older
// than a second. While the file cannot be read, every request is refused, because a removed token was
// revoked. An address that sent a wrong token is slowed (failed-tokens.ts) and logged.

import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'
import { nodeCrypto } from '../core/late.ts'
import { FailedTokens, SLOWED_MS } from './failed-tokens.ts'
import { guardAgainstPages } from './browser-guard.ts'
import type { PageToken } from './browser-guard.ts'
import { isForPage } from './page-files.ts'
import type { Answer } from '../ops/answer.ts'

/** Shorter tokens can be guessed one by one over the network. */
const MIN_TOKEN_BYTES = 16
const MAX_TOKEN_BYTES = 4096
/** This also bounds how often requests without a token make us read. */
const FRESH_MS = 1000

const refusal: Answer = {
  status: 401,
  headers: { 'WWW-Authenticate': 'Bearer' },
  body: 'needs the token of admin.tokenFile: Authorization: Bearer TOKEN (sidegate --token-file FILE)\n',
}
const unavailable: Answer = {
  status: 503,
  body: 'the token file (admin.tokenFile) cannot be used; see the log\n',
}

export interface TokenObserver {
  /** The file cannot be used; called once for each problem, not for each request. */
  onProblem(problem: string): void
  /** A request had no token, or a wrong one. */
  onFailed(why: 'no_token' | 'wrong_token', address: string): void
}

export class TokenGuard {
  readonly #file: string
  readonly #clock: Clock
  readonly #observer: TokenObserver
  readonly #failed: FailedTokens
  #digest: Buffer | null = null
  #problem: string | null = null
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | null = null

  constructor(file: string, clock: Clock, observer: TokenObserver) {
    this.#file = file
    this.#clock = clock
    this.#observer = observer
    this.#failed = new FailedTokens(clock)
  }

  /** Reads the file; resolves with a sentence on why it cannot be used, or null. */
  async load(): Promise<string | null> {
    await (this.#reading ??= this.#read())
    return this.#problem
  }

  async guard(request: IncomingMessage, pageToken: PageToken): Promise<Answer | null> {
    const page = guardAgainstPages(request, pageToken)
    if (page !== null) return page
    if (isForPage(request)) return null
    const { remoteAddress } = request.socket
    const given = /^bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
    // The wait comes before the judgement, whose delay would otherwise show the result to a client that
    // leaves early. Its request is then not judged at all.
    if (
      given !== undefined &&
      this.#failed.isSlowed(remoteAddress) &&
      !(await this.#isStillThere(request.socket))
    )
      return refusal
    if (this.#clock.now() - this.#readAt >= FRESH_MS) await this.load()
    if (this.#digest === null) return unavailable
    // Digests have one length, and the time to compare them reveals nothing of the token.
    if (given !== undefined && nodeCrypto().timingSafeEqual(digestOf(given), this.#digest)) return null
    if (given !== undefined) this.#failed.note(remoteAddress)
    this.#observer.onFailed(given === undefined ? 'no_token' : 'wrong_token', remoteAddress ?? 'unix')
    return refusal
  }

  #isStillThere(socket: Socket): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (isThere: boolean): void => {
        cancel()
        socket.off('close', onClose)
        resolve(isThere)
      }
      const onClose = (): void => settle(false)
      const cancel = this.#clock.after(SLOWED_MS, () => settle(true))
      socket.once('close', onClose)
    })
  }

  async #read(): Promise<void> {
    const token = await readToken(this.#file)
    this.#readAt = this.#clock.now()
    this.#reading = null
    const problem = 'problem' in token ? token.problem : null
    if (problem !== null && problem !== this.#problem) this.#observer.onProblem(problem)
    this.#problem = problem
    this.#digest = 'problem' in token ? null : digestOf(token.value)
  }
}

function digestOf(token: string): Buffer {
  return nodeCrypto().createHash('sha256').update(token).digest()
}

/** The first line, without the white space that editors and `echo` add at its end. */
async function readToken(file: string): Promise<{ value: string } | { problem: string }> {
  let text: string
  try {
    // Opening a pipe without a writer would block, in a thread that name lookups need.
    await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
    const buffer = Buffer.alloc(MAX_TOKEN_BYTES + 1)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    if (bytesRead > MAX_TOKEN_BYTES)
      return {
        problem: `holds more than ${MAX_TOKEN_BYTES} bytes, write one token of ${MIN_TOKEN_BYTES} bytes or more`,
      }
    text = buffer.toString('utf8', 0, bytesRead).trim()
  } catch (error) {
    return { problem: `cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}` }
  }
  // A header cannot carry other characters.
  if (!/^[\x21-\x7e]*$/.test(text))
    return {
      problem:
        'holds more than one word of ASCII, write one token, such as the output of: openssl rand -hex 32',
    }
  if (text.length < MIN_TOKEN_BYTES)
    return {
      problem: `holds ${text.length} bytes, write ${MIN_TOKEN_BYTES} or more, such as the output of: openssl rand -hex 32`,
    }
  return { value: text }
}
