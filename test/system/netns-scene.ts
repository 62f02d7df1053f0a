// A gate between two hosts, and the programs that those run. Each proves its path before a test spoils it.

import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import {
  GATE_FOR_CLIENT,
  network,
  UPSTREAM,
  whyNoNetwork,
  type Network,
  type Peer,
} from '../support/netns.ts'
import { configFile, runFile, type Program } from './program.ts'

const why = whyNoNetwork()
/** For each test: without namespaces there is nothing to see. */
export const options = why === null ? {} : { skip: why }
export const LONG = { withinMs: 25_000 }

export const echo = `require('net').createServer({ allowHalfOpen: true }, (s) => s.on('error', (e) => console.log('error', e.code)).on('end', () => console.log('end')).pipe(s)).listen(9000, () => console.log('listening'))`
export const flood = `
  const chunk = Buffer.alloc(65536, 'x')
  require('net').createServer((s) => {
    const go = () => { while (!s.destroyed && s.write(chunk)); }
    s.on('error', (e) => console.log('error', e.code)).on('close', () => console.log('closed')).on('drain', go).resume()
    go()
  }).listen(9000, () => console.log('listening'))`
/** Sends so many bytes to each client, and then ends. */
export const file = `
  const bytes = Buffer.alloc(Number(process.argv[1]), 'abcdefghijk')
  require('net').createServer((s) => s.on('error', (e) => console.log('error', e.code)).resume().end(bytes)).listen(9000, () => console.log('listening'))`
export const service = `
  const { WebSocketServer } = require('ws')
  new WebSocketServer({ port: 9000 }, () => console.log('listening')).on('connection', (s) => {
    s.on('message', (data) => s.send(data))
    s.on('close', (code, reason) => console.log('closed', code, reason.toString()))
  })`

export const talker = `
  const s = require('net').connect({ host: '${GATE_FOR_CLIENT}', port: 8000, allowHalfOpen: true }, () => s.write('hello'))
  s.once('data', () => console.log('heard')).on('error', (e) => console.log('error', e.code)).on('end', () => console.log('end'))`
export const flooding = `
  const chunk = Buffer.alloc(65536, 'x')
  const s = require('net').connect(8000, '${GATE_FOR_CLIENT}', () => go())
  const go = () => { while (!s.destroyed && s.write(chunk)); }
  s.on('drain', go).on('error', (e) => console.log('error', e.code)).resume().once('data', () => console.log('heard'))`
export const reader = `
  const hash = require('crypto').createHash('sha256')
  let bytes = 0
  const s = require('net').connect(8000, '${GATE_FOR_CLIENT}')
  s.on('data', (piece) => { if (bytes === 0) console.log('heard'); bytes += piece.length; hash.update(piece) })
  s.on('end', () => console.log('whole', bytes, hash.digest('hex'))).on('error', (e) => console.log('error', e.code, bytes))`
export const socket = `
  const { WebSocket } = require('ws')
  const s = new WebSocket('ws://${GATE_FOR_CLIENT}:8000/', { perMessageDeflate: false })
  s.on('open', () => s.send('hello')).once('message', () => console.log('heard')).on('close', (code, reason) => console.log('closed', code, reason.toString())).on('error', () => {})`

export interface Scene {
  net: Network
  gate: Program
  upstream: Peer
  client: Peer
  /** The end of the only connection, from the log. */
  end(): Promise<Record<string, unknown>>
}

/** A proven path: the client has received bytes of the upstream. */
export async function scene(
  t: Test,
  protocol: 'tcp' | 'http',
  rest: string,
  programs: { upstream: [string, ...string[]]; client: string | null; upstreamKeys?: string },
): Promise<Scene> {
  const net = network(t)
  const upstream = net.run('upstream', ...programs.upstream)
  await upstream.said('listening')
  const yaml = `listeners:\n  - { name: l0, address: "${GATE_FOR_CLIENT}:8000", protocol: ${protocol}, upstream: { addresses: ["${UPSTREAM}:9000"], ${programs.upstreamKeys ?? ''} }, ${rest} }\n`
  const gate = await runFile(t, configFile(t, yaml), { under: net.under('gate'), isAsked: false })
  const logged = (msg: string): Record<string, unknown> | undefined =>
    gate.lines.map((line) => JSON.parse(line) as Record<string, unknown>).find((line) => line['msg'] === msg)
  await eventually(() => logged('started'), { withinMs: 30_000, what: 'the gate to start' })
  const client = net.run('client', programs.client ?? '')
  if (programs.client !== null) await client.said('heard')
  return {
    net,
    gate,
    upstream,
    client,
    end: () => eventually(() => logged('connection closed'), { ...LONG, what: 'the end of the connection' }),
  }
}
