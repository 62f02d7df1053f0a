import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const targets = [
  '/',
  '/a/../b//c?',
  '/%2e%2E/%2f',
  '/?',
  '/??a=b&&c?',
  '//x',
  '///',
  '/a;b=c',
  '/a\\b',
  '/a"<>^`{|}',
  '/.',
  '/a/./b',
  '/a?b=http://[',
  '/%zz',
  '/%',
  "/'!*()",
  `/${'a'.repeat(8000)}`,
  '/a:80',
  '/@',
  '/x?y#'.slice(0, 4),
]

test('a path arrives byte for byte, first or later on a connection', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const kept = await httpClient(t, gate.port)
  for (const target of targets) {
    const fresh = await httpClient(t, gate.port)
    t.equal((await fresh.get(get(target, 'Connection: close\r\n'))).status, 200, target)
    t.equal((await kept.get(get(target))).status, 200, target)
  }
  t.same(
    upstream.requests.map(({ target }) => target),
    targets.flatMap((target) => [target, target]),
  )
})

test('absolute form is rewritten to origin form, and OPTIONS * goes to the service', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  const rewritten: Array<[string, string]> = [
    ['http://a/x?y', '/x?y'],
    ['HTTP://A/../b', '/../b'],
    ['http://a', '/'],
    ['https://a?x', '/?x'],
    ['http://a//x', '//x'],
  ]
  for (const [target] of rewritten) t.equal((await client.get(get(target))).status, 200, target)
  t.same(
    upstream.requests.map(({ target }) => target),
    rewritten.map(([, target]) => target),
  )
  for (const target of ['*', 'http://a']) t.equal((await client.get(get(target, '', 'OPTIONS'))).status, 200)
  t.equal((await client.get(get('*', 'Content-Length: 3\r\n', 'OPTIONS') + 'abc')).status, 200)
  t.same(
    upstream.requests.slice(rewritten.length).map(({ target, body }) => `${target} ${body.toString()}`),
    ['* ', '* ', '* abc'],
  )
})

test('HTTP/1.0 may name no host but in an absolute form; the service hears a Host in any case', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  for (const target of ['http://a.example:8080/x?y', '/x']) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(`GET ${target} HTTP/1.0\r\n\r\n`)).status, 200, target)
  }
  t.same(
    upstream.requests.map(({ target, header }) => [target, header('host'), header('x-forwarded-host')]),
    [
      ['/x?y', 'a.example:8080', 'a.example:8080'],
      // As a client of the service itself would write it: Apache and nginx refuse an empty one.
      ['/x', `127.0.0.1:${upstream.port}`, null],
    ],
  )
})
