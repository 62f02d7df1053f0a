// Questions to a service that may speak WebSocket: whether it accepts an upgrade, answers a ping and closes
// properly, how large a message it accepts (only with an option), and how long it leaves a silent client
// alone.

import type { Socket } from 'node:net'
import type { WebSocket as Ws } from 'ws'
import { counted } from '../../core/wait.ts'
import { systemClock } from '../../core/clock.ts'
import { latePackage } from '../../core/late.ts'
import type { Address } from '../../config/address.ts'
import { isLoopback } from '../../config/address.ts'
import { readAnswerHead } from '../../http1/answer-head.ts'
import { strictness, StrictHead } from './strictness.ts'
import { dial } from './wire.ts'
import type { Finding, SurveyOptions } from './findings.ts'

const ANSWER_MS = 5000
const MAX_PAYLOAD_BYTES = 1024 * 1024

/** An open WebSocket and the head that opened it, or why there is none. */
async function open(
  address: Address,
  { path, host }: SurveyOptions,
): Promise<{ ws: Ws; head: string } | string> {
  const wire = await dial(address)
  if (typeof wire === 'string') return wire
  const { WebSocket } = latePackage('ws') as { WebSocket: typeof Ws }
  const { socket } = wire
  socket.removeAllListeners()
  const stream = new StrictHead(socket)
  const ws = new WebSocket(`ws://localhost${path}`, {
    createConnection: () => stream as unknown as Socket,
    perMessageDeflate: true,
    maxPayload: MAX_PAYLOAD_BYTES,
    headers: { 'User-Agent': 'sidegate-survey', Host: host },
  })
  const outcome = await once<string | null>(ws, ANSWER_MS, (settle) => {
    ws.once('open', () => settle(null))
    ws.once('unexpected-response', (_, answer) =>
      settle(`it answers an upgrade with ${answer.statusCode ?? 'nothing'}`),
    )
    ws.on('error', (error) => settle(unread(stream) ?? error.message))
  })
  if (outcome === null) return { ws, head: stream.head ?? '' }
  ws.terminate()
  return outcome ?? 'no answer to an upgrade'
}

/** What is wrong with an answer that is no HTTP, in words of ours; null where it is. */
function unread({ head, said }: StrictHead): string | null {
  if (head === null)
    return said === '' ? null : `its answer to an upgrade is no HTTP: ${JSON.stringify(said.slice(0, 60))}`
  const answer = readAnswerHead(head, true)
  return typeof answer === 'string' ? `its answer to an upgrade breaks a rule: ${answer}` : null
}

/** The value with which `begin` settles; undefined after `ms`, or once the socket is closed. */
function once<T>(ws: Ws, ms: number, begin: (settle: (value: T) => void) => void): Promise<T | undefined> {
  return new Promise((resolve) => {
    const onClose = (): void => settle(undefined)
    const settle = (value: T | undefined): void => {
      cancel()
      ws.off('close', onClose)
      resolve(value)
    }
    const cancel = systemClock.after(ms, () => settle(undefined))
    ws.once('close', onClose)
    begin(settle)
  })
}

export async function surveyWebSocket(
  address: Address,
  options: SurveyOptions,
): Promise<{ isWebSocket: boolean; findings: Finding[] }> {
  const opened = await open(address, options)
  const question = 'speaks WebSocket'
  if (typeof opened === 'string')
    return { isWebSocket: false, findings: [{ question, answer: `no: ${opened}` }] }
  const { ws, head } = opened
  const findings: Finding[] = [
    {
      question,
      answer: `yes, at ${options.path}${ws.extensions.includes('permessage-deflate') ? ', with compression' : ', without compression'}`,
    },
    strictness('writes the head of its 101 strictly', head),
    await pings(ws, address),
  ]
  if (options.messageBytes > 0) findings.push(await messages(address, options))
  findings.push(await closes(ws))
  return { isWebSocket: true, findings }
}

async function pings(ws: Ws, address: Address): Promise<Finding> {
  const question = 'answers pings'
  const startedAt = systemClock.now()
  const ms = await once<number>(ws, ANSWER_MS, (settle) => {
    ws.once('pong', () => settle(systemClock.now() - startedAt))
    ws.ping()
  })
  if (ms !== undefined)
    return {
      question,
      answer: `yes, after ${ms} ms`,
      ...(isLoopback(address) ? {} : { key: 'websocket.ping.to', value: 'both' }),
    }
  const what = ws.readyState === ws.OPEN ? `not within ${ANSWER_MS / 1000} s` : 'no: it ends the connection'
  return { question, answer: what, key: 'websocket.ping.to', value: 'client' }
}

/**
 * Doubles the size until a message is refused; the answer to a ping after each shows that it was accepted.
 */
async function messages(address: Address, options: SurveyOptions): Promise<Finding> {
  const question = 'largest message that it takes'
  const opened = await open(address, options)
  if (typeof opened === 'string') return { question, answer: opened }
  const { ws } = opened
  let largest = 0
  let code = 0
  ws.once('close', (closed: number) => (code = closed))
  ws.on('message', () => {})
  for (let bytes = 1024; bytes <= options.messageBytes; bytes *= 2) {
    const isTaken = await once<boolean>(ws, ANSWER_MS, (settle) => {
      ws.once('pong', () => settle(true))
      ws.send(Buffer.alloc(bytes))
      ws.ping()
    })
    if (isTaken !== true) break
    largest = bytes
  }
  ws.terminate()
  const written = largest >= 1024 * 1024 ? `${largest / 1024 / 1024}MiB` : `${largest / 1024}KiB`
  if (largest === 0)
    return { question, answer: `none of 1 KiB${code === 0 ? '' : `: it closed with ${code}`}` }
  if (largest * 2 > options.messageBytes)
    return {
      question,
      answer: `${written} or more: none larger was sent`,
      key: 'websocket.maxMessage',
      value: written,
    }
  return {
    question,
    answer: `${written}; one of twice that ends with ${code || 'no answer'}`,
    key: 'websocket.maxMessage',
    value: written,
  }
}

async function closes(ws: Ws): Promise<Finding> {
  const question = 'answers a Close'
  if (ws.readyState !== ws.OPEN) return { question, answer: 'not asked: the connection had ended' }
  const startedAt = systemClock.now()
  const code = await new Promise<number | null>((resolve) => {
    const cancel = systemClock.after(ANSWER_MS, () => resolve(null))
    ws.once('close', (closed: number) => {
      cancel()
      resolve(closed)
    })
    ws.close(1000)
  })
  ws.terminate()
  if (code === null)
    return { question, answer: `not within ${ANSWER_MS / 1000} s: it leaves the end to deadlines.close` }
  const after = `after ${systemClock.now() - startedAt} ms`
  return {
    question,
    answer:
      code === 1006 ? `no: it ended the connection without one, ${after}` : `yes, with ${code}, ${after}`,
  }
}

/** How long the service leaves a WebSocket alone that sends only pongs. */
export async function surveySilence(address: Address, options: SurveyOptions): Promise<Finding> {
  const question = 'ends a silent WebSocket'
  const opened = await open(address, options)
  if (typeof opened === 'string') return { question, answer: opened }
  const { ws } = opened
  let asked = 0
  ws.on('ping', () => asked++)
  const since = systemClock.now()
  await once<number>(ws, options.forMs, (settle) => ws.once('close', settle))
  const isOpen = ws.readyState === ws.OPEN
  const ms = systemClock.now() - since
  ws.terminate()
  const pinged = asked === 0 ? 'it sent no pings' : `it sent ${counted(asked, 'ping')}`
  if (isOpen) return { question, answer: `not within ${options.forMs / 1000} s; ${pinged}` }
  return { question, answer: `after ${(ms / 1000).toFixed(1)} s; ${pinged}` }
}
