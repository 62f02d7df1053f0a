// The client of a running gate's admin server. Every wait has a bound, and a missing gate is reported with
// the remedy.

import { readFileSync } from 'node:fs'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { systemClock } from '../../core/clock.ts'
import { formatAddress, parseAddress } from '../../config/address.ts'
import type { Address } from '../../config/address.ts'
import { loadConfig } from '../../config/load.ts'
import { defaults } from '../../config/defaults.ts'
import { quote } from '../../config/words.ts'
import { SILENT_HEADER } from '../../admin/workers.ts'
import { silentInWords } from '../../admin/worker-words.ts'
import { nodeHttp } from '../../core/late.ts'
import { MissingError, RefusedError, safe, UsageError } from './usage.ts'

const CONNECT_MS = 2000
/** The longest time without a byte of an answer; a listing takes milliseconds. */
export const ANSWER_MS = 10_000
/** A gate sends at most a few megabytes, except for a profile, which is not collected. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

/** The options of every command that talks to the admin server. */
export const adminOptions = {
  admin: { type: 'string' },
  'token-file': { type: 'string' },
  config: { type: 'string', short: 'c' },
} as const

export interface AdminChoice {
  admin?: string | undefined
  'token-file'?: string | undefined
  config?: string | undefined
}

export interface Gate {
  address: Address
  token: string | null
  /** The remedy where no gate listens. */
  remedy: string
}

export interface Ask {
  method?: 'GET' | 'POST' | 'DELETE'
  /** Milliseconds until the answer begins, and between any two pieces of it. */
  answerMs?: number
  /** The asker shows by itself which workers do not answer. */
  isQuiet?: boolean
}

export async function findGate(choice: AdminChoice): Promise<Gate> {
  const config = choice.config === undefined ? null : await loadConfig(choice.config, process.env)
  const address =
    choice.admin === undefined
      ? (config?.admin.address ?? readAddress(defaults.adminAddress, 'admin'))
      : readAddress(choice.admin, 'admin')
  const tokenFile = choice['token-file'] ?? config?.admin.tokenFile ?? null
  return {
    address,
    token: tokenFile === null ? null : readToken(tokenFile),
    remedy: 'name the address of admin.address with --admin, or its configuration file with -c',
  }
}

/** As in the configuration; a gate that listens on every interface is reached on loopback. */
export function readAddress(text: string, option: string): Address {
  const parsed = parseAddress(text, 'listen')
  if ('problem' in parsed) throw new UsageError(`--${option}: ${parsed.problem}`)
  return parsed.value
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new RefusedError(
      `${quote(file)} with the token cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
    )
  }
}

/** The answer once its head has come; rejects with a sentence if there is none. */
export async function open(
  gate: Gate,
  path: string,
  { method = 'GET', answerMs = ANSWER_MS, isQuiet = false }: Ask = {},
): Promise<IncomingMessage> {
  const socket = await dial(gate)
  const headers: OutgoingHttpHeaders = { Host: hostOf(gate), Connection: 'close' }
  if (gate.token !== null) headers['Authorization'] = `Bearer ${gate.token}`
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new RefusedError(`${nameOf(gate)} ${why}`))
    const request = nodeHttp().request(
      { createConnection: () => socket, method, path, headers },
      (response) => {
        answer = response
        if (!isQuiet) remark(gate, response)
        resolve(response)
      },
    )
    let answer: IncomingMessage | null = null
    watch(socket, answerMs, () => answer)
    request.on('error', (error: NodeJS.ErrnoException) =>
      fail(
        error.code === undefined || error.code === 'ECONNRESET'
          ? `ended the connection: ${error.message}; is another program there?`
          : error.message,
      ),
    )
    request.end()
  })
}

/** What has been said of workers that do not answer: one command may ask several times. */
const reported = new Set<string>()

function remark(gate: Gate, { headers }: IncomingMessage): void {
  const silent = headers[SILENT_HEADER.toLowerCase()]
  if (typeof silent !== 'string' || reported.has(silent + nameOf(gate))) return
  reported.add(silent + nameOf(gate))
  process.stderr.write(`sidegate: ${safe(`${nameOf(gate)}: ${silentInWords(silent.split(', '))}`)}\n`)
}

/** Gives up a gate that sends nothing for `ms`, unless we do not read it as our own output is blocked. */
function watch(socket: Socket, ms: number, answer: () => IncomingMessage | null): void {
  let movedAt = systemClock.now()
  let { bytesRead } = socket
  const stop = systemClock.every(ms / 4, () => {
    if (socket.bytesRead !== bytesRead || (answer()?.readableLength ?? 0) > 0) movedAt = systemClock.now()
    bytesRead = socket.bytesRead
    if (systemClock.now() - movedAt >= ms) socket.destroy(new Error(`no answer for ${ms / 1000}s`))
  })
  socket.once('close', stop)
}

function dial(gate: Gate): Promise<Socket> {
  const { address } = gate
  const target =
    address.kind === 'unix' ? { path: address.path } : { host: dialled(address.host), port: address.port }
  return new Promise((resolve, reject) => {
    const socket = connect(target)
    const late = systemClock.after(CONNECT_MS, () =>
      socket.destroy(new Error(`does not answer within ${CONNECT_MS / 1000}s`)),
    )
    socket.once('connect', () => {
      late()
      socket.off('error', onError)
      resolve(socket)
    })
    socket.once('error', onError)
    function onError(error: NodeJS.ErrnoException): void {
      late()
      const Kind = ['ECONNREFUSED', 'ENOENT'].includes(error.code ?? '') ? MissingError : RefusedError
      reject(
        new Kind(
          `cannot reach a gate at ${nameOf(gate)}: ${reasons[error.code ?? ''] ?? error.message}; is it running? ${gate.remedy}`,
        ),
      )
    }
  })
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ENOENT: 'there is no such socket',
  EACCES: 'not permitted',
  ENOTFOUND: 'there is no such host',
  ENOTSOCK: 'that is no socket',
}

function dialled(host: string | null): string {
  return host === null || host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
}

/** The Host that the guard of a gate on loopback admits. */
function hostOf({ address }: Gate): string {
  return address.kind === 'unix' ? 'localhost' : formatAddress({ ...address, host: dialled(address.host) })
}

export function nameOf({ address }: Gate): string {
  return address.kind === 'unix'
    ? formatAddress(address)
    : formatAddress({ ...address, host: dialled(address.host) })
}

export interface Reply {
  status: number
  body: string
}

/** The complete answer as text. */
export async function ask(gate: Gate, path: string, options: Ask = {}): Promise<Reply> {
  const response = await open(gate, path, options)
  const pieces: Buffer[] = []
  let length = 0
  try {
    for await (const piece of response as AsyncIterable<Buffer>) {
      length += piece.length
      if (length > MAX_ANSWER_BYTES) throw new Error('sends more than a gate would')
      pieces.push(piece)
    }
  } catch (error) {
    throw new RefusedError(
      `${nameOf(gate)} did not finish its answer: ${error instanceof Error ? error.message : String(error)}`,
    )
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString() }
}

/** The answer as JSON; rejects with the gate's words if it refused. */
export async function askJson<T>(gate: Gate, path: string, options: Ask = {}): Promise<T> {
  const reply = await ask(gate, path, options)
  if (reply.status !== 200) throw refused(gate, reply)
  try {
    return JSON.parse(reply.body) as T
  } catch {
    throw notAGate(gate, reply.status)
  }
}

export function notAGate(gate: Gate, status: number): RefusedError {
  return new RefusedError(
    `${nameOf(gate)} did not answer as a gate does (${status}): is another program there? ${gate.remedy}`,
  )
}

/** What the servers of a gate say to a path that they do not have. */
const NO_SUCH_PATH = 'not found'

/** A request that the gate did not understand was typed wrongly. */
export function refused(gate: Gate, { status, body }: Reply): RefusedError | UsageError {
  const words = status < 400 ? null : sentenceOf(body)
  if (words === null) return notAGate(gate, status)
  const said = `${nameOf(gate)} said ${status}: ${words}`
  if (status === 400) return new UsageError(safe(said))
  if (words !== NO_SUCH_PATH) return new RefusedError(said)
  return new RefusedError(`${said}; is that its health server, or a gate of another version? ${gate.remedy}`)
}

/** The error in JSON, or one line of plain words; null where a gate says no such thing. */
function sentenceOf(body: string): string | null {
  try {
    const { error } = JSON.parse(body) as { error?: unknown }
    if (typeof error === 'string') return error
  } catch {
    // Not JSON: plain words.
  }
  const words = body.trim()
  return words === '' || words.length > 500 || /[<\n]/.test(words) ? null : words
}
