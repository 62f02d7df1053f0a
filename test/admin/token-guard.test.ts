import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { TokenGuard } from '../../src/admin/token-guard.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp } from './admin.ts'

const token = '0123456789abcdef'
const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

async function guarded(t: Test, content = token) {
  const file = join(t.testdir({ token: content }), 'token')
  const clock = fakeClock()
  const problems: string[] = []
  const it = await setUp(t, { clock, tokenFile: file, onTokenProblem: (problem) => void problems.push(problem) })
  const status = async (headers: Record<string, string>, method = 'GET', path = '/info') => (await it.get(path, headers, method)).status
  return { ...it, file, clock, problems, status }
}

test('with a token nobody gets in without it, from loopback neither; who has it does, whatever the Host', async (t) => {
  const { status, get } = await guarded(t)
  t.match(await get('/info'), { status: 401, headers: { 'www-authenticate': 'Bearer' }, body: /Authorization: Bearer TOKEN/ })
  for (const wrong of ['', 'x', `${token}0`, token.slice(1), token.toUpperCase()]) t.equal(await status(bearer(wrong)), 401, wrong)
  t.equal(await status({ authorization: `Basic ${token}` }), 401)
  t.equal(await status(bearer(token)), 200)
  t.equal(await status({ authorization: `bearer  ${token}` }), 200, 'the scheme has no case')
  t.equal(await status({ ...bearer(token), host: 'sidegate.pod.example:17020' }), 200)
  for (const [method, path] of [['POST', '/log?level=debug'], ['DELETE', '/connections/1'], ['POST', '/debug/cpuprofile']] as const) t.equal(await status({}, method, path), 401, path)
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
    [`${token.slice(1)}\n\n\n`, 'holds 15 bytes, write 16 or more, such as the output of: openssl rand -hex 32'],
    ['', 'holds 0 bytes, write 16 or more, such as the output of: openssl rand -hex 32'],
    [`${token} ${token}`, 'holds more than one word of ASCII, write one token, such as the output of: openssl rand -hex 32'],
    [`${token}é`, 'holds more than one word of ASCII, write one token, such as the output of: openssl rand -hex 32'],
    ['x'.repeat(4097), 'holds more than 4096 bytes, write one token of 16 bytes or more'],
  ]
  const file = join(t.testdir({}), 'token')
  for (const [content, problem] of table) {
    writeFileSync(file, content)
    t.equal(await new TokenGuard(file, fakeClock(), () => {}).load(), problem, JSON.stringify(content.slice(0, 20)))
  }
  t.equal(await new TokenGuard(t.testdirName, fakeClock(), () => {}).load(), 'cannot be read: EISDIR')
})

test('an address that others can reach is bound with a token', async (t) => {
  const { server } = await guarded(t)
  await server.stop()
  t.ok((await server.start({ port: 0, host: '0.0.0.0' })) > 0)
})
