import { test } from 'tap'
import type { Test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { Operator } from '../../src/operator/operator.ts'
import { watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { temporary } from '../support/tools.ts'

function ask(socketPath: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = http.get({ socketPath, path: '/a', agent: false, headers }, (answer) => {
      let body = ''
      answer.on('data', (chunk: Buffer) => (body += chunk.toString()))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
    })
    request.on('error', reject)
  })
}

interface Headers {
  status: number
  headers: Record<string, string>
}

/** A gate between two unix sockets, and its answers, which are the headers that its service got. */
async function gate(t: Test, keys: string): Promise<(headers: Record<string, string>) => Promise<Headers>> {
  watchLeaks(t)
  watchCrashes(t)
  const directory = temporary(t)
  const server = http.createServer((request, response) => response.end(JSON.stringify(request.headers)))
  server.listen(join(directory, 'upstream'))
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const writer = { dropped: 0, write: () => {} }
  const config = parseConfig(
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners: [{ name: l0, address: "unix:${directory}/gate", protocol: http, upstream: "unix:${directory}/upstream", ${keys} }]`,
    'test.yaml',
  )
  const operator = await Operator.start(config, {
    log: new Log({ writer, clock: systemClock }),
    logWriter: writer,
  })
  t.teardown(() => operator.stop())
  return async (headers) => {
    const { status, body } = await ask(join(directory, 'gate'), headers)
    return { status, headers: status === 200 ? (JSON.parse(body) as Record<string, string>) : {} }
  }
}

test('a client without an address is unknown and not trusted, and does not take the process down', async (t) => {
  const get = await gate(t, 'http: { forwarded: both, trustForwarded: ["0.0.0.0/0", "::/0"] }')
  for (let i = 0; i < 2; i++)
    t.match(await get({ 'X-Forwarded-For': '6.6.6.6' }), {
      status: 200,
      headers: { 'x-forwarded-for': 'unknown', forwarded: 'for=unknown;proto=http;host=localhost' },
    })
})

test('a proxy on a unix socket names its clients where private proxies do', async (t) => {
  const get = await gate(t, 'http: { trustForwarded: [private] }, access: { deny: [6.6.6.6] }')
  const named = { 'X-Forwarded-For': '7.7.7.7', 'X-Forwarded-Proto': 'https' }
  const { status, headers } = await get(named)
  t.equal(status, 200)
  t.match(headers, { 'x-forwarded-for': /^7\.7\.7\.7$/, 'x-forwarded-proto': 'https' })
  const standard = await get({ Forwarded: 'for=7.7.7.7;proto=https' })
  t.match(standard.headers, {
    forwarded: /^for=7\.7\.7\.7;proto=https, for=unknown;proto=http;host=localhost$/,
  })
  t.equal((await get({ ...named, 'X-Forwarded-For': '6.6.6.6' })).status, 403)
  t.equal((await get({})).headers['x-forwarded-for'], 'unknown')
})
