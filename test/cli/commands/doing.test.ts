import { test } from 'tap'
import { formatAddress } from '../../../src/config/address.ts'
import { refuser } from '../../support/peers.ts'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('health is an exit code: 0 ready, 1 not, 1 not there', async (t) => {
  const { gate } = await openGate(t)
  t.match(await sidegate(t, 'health', '--health', `127.0.0.1:${gate.healthPort}`), {
    code: 0,
    stdout: /^ready\n/,
  })
  t.match(
    JSON.parse((await sidegate(t, 'health', '--json', '--health', `127.0.0.1:${gate.healthPort}`)).stdout),
    { ready: true, status: 200 },
  )
  const drained = await fakeGate(
    t,
    { 'GET /readyz?verbose': '[+]listeners ok\n[-]drain failed: draining\nreadyz check failed\n' },
    503,
  )
  t.match(await sidegate(t, 'health', '--health', drained.address), {
    code: 1,
    stdout: /^not ready: 127\S+ said 503\n\+ listeners\n- drain: draining\n$/,
  })
  t.match(JSON.parse((await sidegate(t, 'health', '--json', '--health', drained.address)).stdout), {
    ready: false,
    checks: [
      { name: 'listeners', ok: true },
      { name: 'drain', ok: false, detail: 'draining' },
    ],
  })
  t.match(await sidegate(t, 'health', '--health', `127.0.0.1:${refuser(t).port}`), {
    code: 1,
    stderr: /nobody listens there; is it running\? name the address of health\.address with --health/,
  })
})

test('drain asks, and undoes', async (t) => {
  const { client, at } = await openGate(
    t,
    'drain: { minDuration: 1h, spread: off, timeout: 2h, tcp: spread }',
  )
  t.match(await sidegate(t, 'drain', '--undo', ...at), {
    code: 1,
    stderr: /said 409: there is no drain that can be undone\n$/,
  })
  t.match(await sidegate(t, 'drain', ...at), {
    code: 0,
    stdout: 'draining: not ready, and still accepting until drain.minDuration is over\n',
  })
  t.match(await sidegate(t, 'drain', '--undo', ...at), { code: 0, stdout: 'not draining any more\n' })
  await client.write('stays')
  t.equal((await client.read(5)).toString(), 'stays')
})

test('drain --wait returns when the drain is finished', async (t) => {
  const { client, at } = await openGate(
    t,
    'drain: { minDuration: off, spread: off, timeout: 10s, tcp: spread }',
  )
  void client.ended.then(() => client.end())
  t.match(await sidegate(t, 'drain', '--wait', ...at), {
    code: 0,
    stdout: 'draining: connections are asked to go\ndrained\n',
  })
  t.match(await sidegate(t, 'drain', '--wait', ...at), { code: 0, stdout: 'drained\n' })
  t.match(await sidegate(t, 'drain', '--wait', '--json', ...at), { code: 0, stdout: /"isThere": true/ })
})

test('drain --wait ends with a drain that is undone, and with a gate that is gone', async (t) => {
  const gone = await fakeGate(t, {
    'POST /drain': { drain: 'announced' },
    'GET /info': () => gone.stop(),
  })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', gone.address), {
    code: 0,
    stdout: /\nthe gate has ended\n$/,
  })
  const undone = await fakeGate(t, { 'POST /drain': { drain: 'announced' }, 'GET /info': { drain: 'none' } })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', undone.address), {
    code: 1,
    stderr: 'sidegate: the drain was undone\n',
  })
})

test('drain --wait does not take a gate that refuses, or cuts its answers off, for one that has ended', async (t) => {
  const parting = { drain: 'parting' }
  const cutting = await fakeGate(t, { 'POST /drain': parting, 'GET /info': null })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', cutting.address), {
    code: 1,
    stderr: /ended the connection/,
  })
  t.equal(cutting.asked.length, 3, 'it is asked once more')
  const refusing = await fakeGate(t, { 'POST /drain': parting })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', refusing.address), { code: 1, stderr: /said 404/ })
  const answers = (before: number): unknown =>
    before % 2 === 0 ? null : before < 4 ? parting : { drain: 'finished' }
  const busy = await fakeGate(t, { 'POST /drain': parting, 'GET /info': answers })
  t.match(await sidegate(t, 'drain', '--wait', '--admin', busy.address), { code: 0, stdout: /\ndrained\n$/ })
})

test('reload says what came of it: 1 and every problem where it was refused', async (t) => {
  const { gate, at } = await openGate(t)
  t.match(
    await sidegate(t, 'reload', ...at),
    { code: 1, stdout: '', stderr: /the last good one stays\n/ },
    'an empty file',
  )
  const upstream = gate.operator.effectiveConfig.listeners[0]!.upstream.addresses[0]!
  gate.hold([`protocol: tcp, upstream: "${formatAddress(upstream)}"`])
  t.match(await sidegate(t, 'reload', ...at), { code: 0, stdout: 'reloaded\n', stderr: '' })
  gate.hold([`protocol: tcp, upstream: "${formatAddress(upstream)}", deadlines: { idle: 5x }`])
  t.match(await sidegate(t, 'reload', ...at), {
    code: 1,
    stdout: '',
    stderr: /the last good one stays\ntest\.yaml:\d+:\d+ listeners\[0\]\.deadlines\.idle: got "?5x/,
  })
  t.match(JSON.parse((await sidegate(t, 'reload', '--json', ...at)).stdout), {
    result: 'failure',
    problems: [/listeners\[0\]/],
  })
  gate.hold([`protocol: tcp, upstream: "${formatAddress(upstream)}"`])
  void gate.operator.drain('admin')
  t.match(await sidegate(t, 'reload', ...at), {
    code: 1,
    stdout: '',
    stderr: 'sidegate: nothing was reloaded\na drain is under way\n',
  })
})
