import { test } from 'tap'
import { refuser } from '../support/peers.ts'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('health is an exit code: 0 ready, 1 not, 1 not there', async (t) => {
  const { gate } = await openGate(t)
  t.match(await sidegate(t, 'health', '--health', `127.0.0.1:${gate.healthPort}`), { code: 0, stdout: /^ready\n/ })
  t.match(JSON.parse((await sidegate(t, 'health', '--json', '--health', `127.0.0.1:${gate.healthPort}`)).stdout), { ready: true, status: 200 })
  const drained = await fakeGate(t, { 'GET /readyz?verbose': '[+]listeners ok\n[-]drain failed: draining\nreadyz check failed\n' }, 503)
  t.match(await sidegate(t, 'health', '--health', drained.address), { code: 1, stdout: /^not ready: 127\S+ said 503\n\+ listeners\n- drain: draining\n$/ })
  t.match(JSON.parse((await sidegate(t, 'health', '--json', '--health', drained.address)).stdout), { ready: false, checks: [{ name: 'listeners', ok: true }, { name: 'drain', ok: false, detail: 'draining' }] })
  t.match(await sidegate(t, 'health', '--health', `127.0.0.1:${refuser(t).port}`), { code: 1, stderr: /nobody listens there; is it running\? name the address of health\.address with --health/ })
})

test('drain asks, undoes, and waits until nothing is left or the gate is gone', async (t) => {
  const gate = await fakeGate(t, {
    'POST /drain': { state: 'draining' },
    'POST /drain?undo=1': { state: 'running' },
    'GET /info': (before: number) => ({ state: before < 1 ? 'draining' : 'drained', connections: before < 1 ? 3 : 0 }),
  })
  t.match(await sidegate(t, 'drain', '--admin', gate.address), { code: 0, stdout: 'draining\n' })
  t.match(await sidegate(t, 'drain', '--undo', '--admin', gate.address), { code: 0, stdout: 'not draining any more (running)\n' })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', gate.address), { code: 0, stdout: 'draining\ndrained\n' })
  t.match(gate.asked, ['POST /drain', 'POST /drain?undo=1', 'POST /drain', 'GET /info', 'GET /info'])
  const gone = await fakeGate(t, { 'POST /drain': { state: 'draining' }, 'GET /info': null })
  t.match(await sidegate(t, 'drain', '--wait', '--json', '--admin', gone.address), { code: 0, stdout: /"state": "the gate has ended"/ })
  const undone = await fakeGate(t, { 'POST /drain': { state: 'draining' }, 'GET /info': { state: 'running', connections: 3 } })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', undone.address), { code: 1, stderr: 'sidegate: the drain was undone\n' })
})

test('reload says what came of it: 1 and every problem where it was refused', async (t) => {
  const good = await fakeGate(t, { 'POST /reload': { result: 'success' } })
  t.match(await sidegate(t, 'reload', '--admin', good.address), { code: 0, stdout: 'reloaded\n', stderr: '' })
  const problems = [{ line: 12, column: 9, path: 'listeners[0].deadlines.idle', message: 'got 5\u001b[31m, write a duration such as 5s' }]
  const bad = await fakeGate(t, { 'POST /reload': { result: 'failure', problems } }, 422)
  const refused = await sidegate(t, 'reload', '--admin', bad.address)
  t.match(refused, { code: 1, stdout: '', stderr: /the last good one stays\nconfiguration:12:9 listeners\[0\]\.deadlines\.idle: got 5\\u001b\[31m, write/ })
  const json = await sidegate(t, 'reload', '--json', '--admin', bad.address)
  t.match({ code: json.code, answer: JSON.parse(json.stdout) as object }, { code: 1, answer: { result: 'failure', problems } })
})
