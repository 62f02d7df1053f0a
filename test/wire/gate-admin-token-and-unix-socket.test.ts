import { spawnSync } from 'node:child_process'
import { rmSync, statSync } from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { Operator } from '../../src/operator/operator.ts'
import { ask } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { within } from '../support/eventually.ts'
import { watchLeaks } from '../support/leaks.ts'
import { temporary } from '../support/tools.ts'

const token = 'a token is one word'.replaceAll(' ', '-')
const listener =
  'listeners: [{ address: "127.0.0.1:0", protocol: tcp, upstream: "127.0.0.1:1" }]\nhealth: { address: "127.0.0.1:0" }\n'

async function start(admin: string, write = (_line: string): void => {}): Promise<Operator> {
  const writer = { dropped: 0, write }
  return Operator.start(parseConfig(`${listener}admin: ${admin}\n`, 'f'), {
    log: new Log({ writer, clock: systemClock }),
    logWriter: writer,
  })
}

test('a gate whose admin server others can reach asks everyone for its token', async (t) => {
  watchLeaks(t)
  const file = join(t.testdir({ token }), 'token')
  const gate = await start(`{ address: "0.0.0.0:0", tokenFile: "${file}" }`)
  t.teardown(() => gate.stop())
  t.equal((await ask(gate.adminPort, '/config', {}, 'GET')).status, 401)
  const { status, body } = await ask(
    gate.adminPort,
    '/config',
    { authorization: `Bearer ${token}`, host: 'gate.example' },
    'GET',
  )
  t.equal(status, 200)
  t.match(JSON.parse(body), { admin: { tokenFile: file } })
  t.notMatch(body, token)
})

test('wrong tokens are counted each, told of once a second, and the right one still lets in', async (t) => {
  watchLeaks(t)
  const file = join(t.testdir({ token }), 'token')
  const lines: Array<Record<string, unknown>> = []
  const gate = await start(
    `{ address: "0.0.0.0:0", tokenFile: "${file}" }`,
    (line) => void lines.push(JSON.parse(line) as Record<string, unknown>),
  )
  t.teardown(() => gate.stop())
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, nth) =>
      ask(gate.adminPort, '/info', { authorization: `Bearer ${'x'.repeat(16)}${nth}` }, 'GET'),
    ),
  )
  t.ok(answers.every(({ status }) => status === 401))
  await ask(gate.adminPort, '/info', {}, 'GET')
  const samples = readSamples((await gate.renderMetrics()).body)
  t.equal(samples.get('sidegate_admin_refused_total', { reason: 'wrong_token' }), 20)
  t.equal(samples.get('sidegate_admin_refused_total', { reason: 'no_token' }), 1)
  const told = lines.filter((line) => line['detail'] === 'wrong token (admin.tokenFile)')
  t.ok(told.length >= 1 && told.length <= 4, `${told.length} lines`)
  t.match(told[0], {
    level: 'info',
    msg: 'connection refused',
    listener: 'admin',
    client: '127.0.0.1',
    close: 'denied',
    side: 'client',
  })
  t.notMatch(
    JSON.stringify(lines),
    'x'.repeat(16),
    'what was tried is not written down: it may be nearly right',
  )
  t.equal((await ask(gate.adminPort, '/info', { authorization: `Bearer ${token}` }, 'GET')).status, 200)
})

test('a gate whose token file cannot be used does not start, and says which and why', async (t) => {
  watchLeaks(t)
  const file = join(t.testdir({ token: 'short' }), 'token')
  const place = {
    message: `configuration admin.tokenFile: ${file} holds 5 bytes, write 16 or more, such as the output of: openssl rand -hex 32`,
  }
  await t.rejects(start(`{ tokenFile: "${file}", address: "127.0.0.1:0" }`), place)
  rmSync(file)
  await t.rejects(start(`{ tokenFile: "${file}", address: "127.0.0.1:0" }`), {
    message: `configuration admin.tokenFile: ${file} cannot be read: ENOENT`,
  })
})

test('an admin server on a Unix socket answers there, and refuses pages there too', async (t) => {
  watchLeaks(t)
  const socketPath = join(temporary(t), 'admin.sock')
  const gate = await start(`{ address: "unix:${socketPath}" }`)
  t.teardown(() => gate.stop())
  t.ok(statSync(socketPath).isSocket())
  const status = (headers: http.OutgoingHttpHeaders): Promise<number> =>
    within(
      new Promise((resolve, reject) => {
        http
          .get({ socketPath, path: '/info', headers, agent: false }, (response) =>
            resolve(response.resume().statusCode ?? 0),
          )
          .on('error', reject)
      }),
    )
  t.equal(await status({ host: 'localhost' }), 200)
  t.equal(await status({ host: 'localhost', origin: 'null' }), 403)
  t.equal(await status({ host: 'evil.example' }), 403)
})

test('a socket that a crash left behind is taken over; one in use is not', async (t) => {
  watchLeaks(t)
  const socketPath = join(temporary(t), 'admin.sock')
  const { status } = spawnSync(process.execPath, [
    '-e',
    `require('net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'))`,
  ])
  t.equal(status, null)
  t.ok(statSync(socketPath).isSocket())
  const gate = await start(`{ address: "unix:${socketPath}" }`)
  t.teardown(() => gate.stop())
  await t.rejects(start(`{ address: "unix:${socketPath}" }`), {
    message: /admin\.address: cannot listen on .*: the address is in use/,
  })
})
