import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { TokenGuard } from '../../src/admin/token-guard.ts'
import { FailedTokens } from '../../src/admin/failed-tokens.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { connect } from '../support/peers.ts'
import { setUp } from './admin.ts'

const token = '0123456789abcdef'
const silent = { onProblem() {}, onFailed() {} }
const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

async function guarded(t: Test, content = token) {
  const file = join(t.testdir({ token: content }), 'token')
  const clock = fakeClock()
  const problems: string[] = []
  const failures: string[] = []
  const it = await setUp(t, {
    clock,
    tokenFile: file,
    tokens: {
      onProblem: (problem) => void problems.push(problem),
      onFailed: (why, address) => void failures.push(`${why} ${address}`),
    },
  })
  const status = async (headers: Record<string, string>, method = 'GET', path = '/info') =>
    (await it.get(path, headers, method)).status
  return { ...it, file, clock, problems, failures, status }
}

test('with a token nobody gets in without it, from loopback neither; who has it does, whatever the Host', async (t) => {
  const { status, get, clock } = await guarded(t)
  t.match(await get('/info'), {
    status: 401,
    headers: { 'www-authenticate': 'Bearer' },
    body: /Authorization: Bearer TOKEN/,
  })
  for (const wrong of ['', 'x', `${token}0`, token.slice(1), token.toUpperCase()]) {
    t.equal(await status(bearer(wrong)), 401, wrong)
    await clock.pass(10_000)
  }
  t.equal(await status({ authorization: `Basic ${token}` }), 401)
  t.equal(await status(bearer(token)), 200)
  t.equal(await status({ authorization: `bearer  ${token}` }), 200, 'the scheme has no case')
  t.equal(await status({ ...bearer(token), host: 'sidegate.pod.example:17020' }), 200)
  for (const [method, path] of [
    ['POST', '/log?level=debug'],
    ['DELETE', '/connections/1'],
    ['POST', '/debug/cpuprofile'],
  ] as const)
    t.equal(await status({}, method, path), 401, path)
})

test('who has tried a wrong token waits a second for each answer, for ten seconds, and is told of; who has none is only told of', async (t) => {
  const { status, clock, failures } = await guarded(t)
  t.equal(await status({}), 401)
  t.equal(await status(bearer(token)), 200, 'nobody has tried anything')
  t.equal(await status(bearer('x'.repeat(16))), 401)
  t.same(failures, ['no_token 127.0.0.1', 'wrong_token 127.0.0.1'])
  for (const [given, answer] of [
    ['y'.repeat(16), 401],
    [token, 200],
  ] as const) {
    let said: number | null = null
    const asked = status(bearer(given)).then((code) => (said = code))
    await eventually(() => clock.armed.after === 1)
    await clock.pass(999)
    t.equal(said, null, 'not yet')
    await clock.pass(1)
    t.equal(await asked, answer)
  }
  t.equal(await status({}), 401, 'of who says nothing nothing is to be learned')
  await clock.pass(8999)
  const slow = status(bearer(token))
  await eventually(() => clock.armed.after === 1)
  await clock.pass(1000)
  t.equal(await slow, 200)
  t.equal(await status(bearer(token)), 200, 'ten seconds after the last wrong one')
})

test('who does not wait for the answer is not judged, and nothing is left of it', async (t) => {
  const { status, clock, port, failures } = await guarded(t)
  t.equal(await status(bearer('x'.repeat(16))), 401)
  const guesser = await connect(t, port)
  void guesser.write(`GET /info HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${'z'.repeat(16)}\r\n\r\n`)
  await eventually(() => clock.armed.after === 1)
  guesser.reset()
  await eventually(() => clock.armed.after === 0)
  t.equal(failures.length, 1)
})

test('addresses are slowed each for itself, a /64 as one, and no more of them are known than fit', async (t) => {
  const clock = fakeClock()
  const failed = new FailedTokens(clock)
  failed.note('192.0.2.1')
  failed.note('2001:db8::1')
  failed.note(undefined)
  t.same(
    ['192.0.2.1', '::ffff:192.0.2.1', '192.0.2.2', '2001:db8::2', '2001:db8:0:1::1', undefined].map(
      (address) => failed.isSlowed(address),
    ),
    [true, true, false, true, false, true],
  )
  for (let i = 0; i < 1023; i++) failed.note(`10.0.${i >> 8}.${i & 255}`)
  t.same(
    [
      failed.isSlowed('192.0.2.1'),
      failed.isSlowed('2001:db8::1'),
      failed.isSlowed(undefined),
      failed.isSlowed('10.0.3.254'),
    ],
    [false, false, true, true],
  )
  await clock.pass(10_000)
  t.equal(failed.isSlowed('10.0.3.254'), false)
})

test('a page is refused although it has the token', async (t) => {
  const { status } = await guarded(t)
  t.equal(await status({ ...bearer(token), origin: 'https://evil.example' }), 403)
  t.equal(await status({ ...bearer(token), 'sec-fetch-site': 'cross-site' }), 403)
})

test('a token file that changes is read again within a second, swapped links too', async (t) => {
  const { status, file, clock } = await guarded(t)
  t.equal(await status(bearer(token)), 200)
  const other = 'fedcba9876543210'
  writeFileSync(`${file}.next`, `${other}\n`)
  symlinkSync(`${file}.next`, `${file}.link`)
  renameSync(`${file}.link`, file)
  await clock.pass(999)
  t.equal(await status(bearer(token)), 200, 'not yet')
  await clock.pass(1)
  t.equal(await status(bearer(token)), 401)
  await clock.pass(10_000)
  t.equal(await status(bearer(other)), 200)
})

test('a token that was taken away lets nobody in, is told of once, and comes back', async (t) => {
  const { status, file, clock, problems } = await guarded(t)
  t.equal(await status(bearer(token)), 200)
  rmSync(file)
  await clock.pass(1000)
  t.equal(await status(bearer(token)), 503)
  await clock.pass(1000)
  t.equal(await status({}), 503)
  t.same(problems, ['cannot be read: ENOENT'])
  writeFileSync(file, token)
  await clock.pass(1000)
  t.equal(await status(bearer(token)), 200)
})

test('a token has 16 bytes or more and is one word; white space around it does not count', async (t) => {
  const table: [string, string | null][] = [
    [token, null],
    [`\n ${token}\r\n`, null],
    ['x'.repeat(4096), null],
    [token.slice(1), 'holds 15 bytes, write 16 or more, such as the output of: openssl rand -hex 32'],
    [
      `${token.slice(1)}\n\n\n`,
      'holds 15 bytes, write 16 or more, such as the output of: openssl rand -hex 32',
    ],
    ['', 'holds 0 bytes, write 16 or more, such as the output of: openssl rand -hex 32'],
    [
      `${token} ${token}`,
      'holds more than one word of ASCII, write one token, such as the output of: openssl rand -hex 32',
    ],
    [
      `${token}é`,
      'holds more than one word of ASCII, write one token, such as the output of: openssl rand -hex 32',
    ],
    ['x'.repeat(4097), 'holds more than 4096 bytes, write one token of 16 bytes or more'],
  ]
  const file = join(t.testdir({}), 'token')
  for (const [content, problem] of table) {
    writeFileSync(file, content)
    t.equal(
      await new TokenGuard(file, fakeClock(), silent).load(),
      problem,
      JSON.stringify(content.slice(0, 20)),
    )
  }
  t.equal(await new TokenGuard(t.testdirName, fakeClock(), silent).load(), 'cannot be read: EISDIR')
})

test('an address that others can reach is bound with a token', async (t) => {
  const { server } = await guarded(t)
  await server.stop()
  t.ok((await server.start({ port: 0, host: '0.0.0.0' })) > 0)
})
