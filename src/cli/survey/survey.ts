// A survey of a service without a gate, made as a client would: at most four connections at a time, every
// wait bounded, requests of one path only. Each answer comes with its consequence for a configuration.

import { systemClock } from '../../core/clock.ts'
import { formatAddress } from '../../config/address.ts'
import type { Address } from '../../config/address.ts'
import { stringify } from 'yaml'
import type { Finding, SurveyOptions } from './findings.ts'
import { surveyHttp, surveyKeepAlive } from './http.ts'
import { surveySilence, surveyWebSocket } from './websocket.ts'
import { dial } from './wire.ts'

export interface Survey {
  protocol: 'http' | 'tcp'
  findings: Finding[]
}

const FIN_MS = 3000

/** Resolves with a sentence where no service listens. */
export async function survey(address: Address, options: SurveyOptions): Promise<Survey | string> {
  const first = await dial(address)
  if (typeof first === 'string') return first
  first.close()
  const reached: Finding = { question: 'accepts', answer: `yes, after ${first.connectMs} ms` }
  const http = await surveyHttp(address, options)
  const websocket = http.isHttp
    ? await surveyWebSocket(address, options)
    : { isWebSocket: false, findings: [] }
  const silences = await Promise.all([
    ...(http.isHttp ? [surveyKeepAlive(address, options)] : [tcpHalfClose(address)]),
    ...(websocket.isWebSocket ? [surveySilence(address, options)] : []),
    tcpSilence(address, options),
  ])
  return {
    protocol: http.isHttp ? 'http' : 'tcp',
    findings: [reached, ...http.findings, ...websocket.findings, ...silences],
  }
}

/** How the service treats a client that connects and says nothing. */
async function tcpSilence(address: Address, { forMs }: SurveyOptions): Promise<Finding> {
  const question = 'ends a connection that says nothing'
  const wire = await dial(address)
  if (typeof wire === 'string') return { question, answer: wire }
  const since = systemClock.now()
  const hasEnded = await wire.until(() => wire.end !== null, forMs)
  wire.close()
  const greeting = wire.text === '' ? '' : '; it speaks first'
  return {
    question,
    answer: `${hasEnded ? `after ${((wire.end!.at - since) / 1000).toFixed(1)} s, with ${wire.end!.how}` : `not within ${forMs / 1000} s`}${greeting}`,
  }
}

async function tcpHalfClose(address: Address): Promise<Finding> {
  const question = 'ends its half after the client has ended its own'
  const wire = await dial(address)
  if (typeof wire === 'string') return { question, answer: wire }
  wire.socket.end()
  const hasEnded = await wire.until(() => wire.end !== null, FIN_MS)
  wire.close()
  return hasEnded
    ? { question, answer: `yes, with ${wire.end!.how}` }
    : { question, answer: `not within ${FIN_MS / 1000} s: deadlines.halfClose ends such connections` }
}

/** A configuration that fits, each key with its finding. */
export function fittingConfig(address: Address, { protocol, findings }: Survey): string {
  const listener: Record<string, unknown> = {
    address: ':17080',
    protocol,
    upstream: { addresses: [formatAddress(address)] },
  }
  for (const { key, value } of findings) if (key !== undefined) put(listener, key.split('.'), value)
  const lines = stringify({ listeners: [listener] }, { lineWidth: 0 })
    .trimEnd()
    .split('\n')
  return `${lines.map((line) => remarked(line, findings)).join('\n')}\n`
}

function put(tree: Record<string, unknown>, [name, ...rest]: string[], value: unknown): void {
  if (rest.length === 0) tree[name!] = value
  else put((tree[name!] ??= {}) as Record<string, unknown>, rest, value)
}

/** Adds the finding to the line of its key. */
function remarked(line: string, findings: readonly Finding[]): string {
  const found = findings.find(
    ({ key, value }) => key !== undefined && line.trim() === `${key.split('.').at(-1)!}: ${String(value)}`,
  )
  return found === undefined ? line : `${line} # ${found.question}: ${found.answer}`
}
