// The command line as a process, beside a gate in this one (so it must not block), and an admin server that says what a test
// tells it to.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { CLI } from '../../support/command.ts'
import { startGate } from '../../support/gate.ts'
import { connect, echo } from '../../support/peers.ts'
import { plainEnv } from '../../support/plain-env.ts'

export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

export async function sidegate(t: Test, ...args: string[]): Promise<Ran> {
  const child = spawn(process.execPath, [CLI, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: plainEnv(),
  })
  t.teardown(() => child.kill('SIGKILL'))
  const ran: Ran = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (ran.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (ran.stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { ...ran, code }
}

export interface FakeGate {
  address: string
  /** Method and path of each request so far. */
  asked: string[]
  /** The Authorization headers that came with them. */
  tokens: Array<string | undefined>
  /** It is gone, with the answer under way: returns null. */
  stop(): null
}

/** `answers` by method and path; a function is called with how often it was asked before. Anything else is 404. */
export async function fakeGate(t: Test, answers: Record<string, unknown>, status = 200): Promise<FakeGate> {
  const asked: string[] = []
  const tokens: Array<string | undefined> = []
  const server = http.createServer((request, response) => {
    const key = `${request.method} ${request.url}`
    const before = asked.filter((one) => one === key).length
    asked.push(key)
    tokens.push(request.headers.authorization)
    const answer = answers[key]
    const value: unknown =
      typeof answer === 'function' ? (answer as (before: number) => unknown)(before) : answer
    if (value === null) return void request.socket.destroy()
    response.writeHead(value === undefined ? 404 : status)
    response.end(typeof value === 'string' ? value : JSON.stringify(value ?? { error: 'no' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = (): null => {
    server.close()
    server.closeAllConnections()
    return null
  }
  t.teardown(stop)
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, asked, tokens, stop }
}

/** A gate with one connection that has echoed five bytes. */
export async function openGate(t: Test, top = '') {
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {}, top)
  const client = await connect(t, gate.port)
  await client.write('hello')
  await client.read(5)
  return { gate, client, id: gate.open().id, at: ['--admin', `127.0.0.1:${gate.adminPort}`] }
}
