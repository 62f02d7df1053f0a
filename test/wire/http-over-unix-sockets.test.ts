import { test } from 'tap'
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

test('a client without an address is unknown and not trusted, and does not take the process down', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const directory = temporary(t)
  const server = http.createServer((request, response) => response.end(JSON.stringify(request.headers)))
  server.listen(join(directory, 'upstream'))
  await once(server, 'listening')
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  const writer = { dropped: 0, write: () => {} }
  const config = parseConfig(
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners: [{ name: l0, address: "unix:${directory}/gate", protocol: http, upstream: "unix:${directory}/upstream", http: { forwarded: both, trustForwarded: ["0.0.0.0/0", "::/0"] } }]`,
    'test.yaml',
  )
  const operator = await Operator.start(config, {
    log: new Log({ writer, clock: systemClock }),
    logWriter: writer,
  })
  t.teardown(() => operator.stop())
  for (let i = 0; i < 2; i++) {
    const { status, body } = await ask(join(directory, 'gate'), { 'X-Forwarded-For': '6.6.6.6' })
    t.equal(status, 200)
    t.match(JSON.parse(body), {
      'x-forwarded-for': 'unknown',
      forwarded: 'for=unknown;proto=http;host=localhost',
    })
  }
})
