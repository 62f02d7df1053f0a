// NTLM and Negotiate log in a connection of the service (RFC 4559). Streams of HTTP/2 are requests of one
// connection, perhaps of many users behind an ingress: none is served as the user that another one logged in.

import type { ClientHttp2Session } from 'node:http2'
import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

const CHALLENGE =
  'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM TlRMTVNT\r\nWWW-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n'

/** It takes every request on a connection as that of the user who logged it in, and asks others to log in. */
async function path(t: Test, keys = ''): Promise<Gate> {
  watchLeaks(t)
  const users = new Map<number, string>()
  const upstream = await recordingUpstream(t, ({ connection, header }) => {
    const [, user] = /^(?:NTLM|Negotiate) (\w+)$/.exec(header('authorization') ?? '') ?? []
    if (user !== undefined) users.set(connection, user)
    const now = users.get(connection)
    return now === undefined ? CHALLENGE : `HTTP/1.1 200 OK\r\nContent-Length: ${now.length}\r\n\r\n${now}`
  })
  // No time passes: kept connections stay.
  return startGate(t, [`protocol: http, http: { h2c: on${keys} }, upstream: "127.0.0.1:${upstream.port}"`], {
    clock: stillClock(),
  })
}

const ask = async (session: ClientHttp2Session, headers: Record<string, string> = {}): Promise<string> => {
  const { status, body } = await h2Ask(session, { ':path': '/', ...headers })
  return status === 200 ? body : String(status)
}

for (const scheme of ['NTLM', 'Negotiate'])
  test(`${scheme}: a stream is nobody but its own user`, async (t) => {
    const gate = await path(t)
    const [anna, bert] = [await h2Connect(t, gate.port), await h2Connect(t, gate.port)]
    const plain = await httpClient(t, gate.port)
    const login = (name: string): Record<string, string> => ({ authorization: `${scheme} ${name}` })
    for (let round = 0; round < 3; round++) {
      t.equal(await ask(anna, login('anna')), 'anna')
      t.equal(await ask(anna), '401', 'the next stream of the same connection')
      t.equal(await ask(bert), '401', 'a stream of another connection')
      t.equal((await plain.get(get('/'))).status, 401, 'a client of HTTP/1.1')
    }
    const both = await Promise.all(
      ['anna', 'bert', 'carl', ''].map((name) => ask(anna, name === '' ? {} : login(name))),
    )
    t.same(both, ['anna', 'bert', 'carl', '401'], 'at once')
  })

test('nor is a client of HTTP/1.1 that logs in another user than a stream did', async (t) => {
  const gate = await path(t)
  const plain = await httpClient(t, gate.port)
  t.equal((await plain.get(get('/', 'Authorization: NTLM bert\r\n'))).body.toString(), 'bert')
  const anna = await h2Connect(t, gate.port)
  t.equal(await ask(anna), '401')
  t.equal((await plain.get(get('/'))).body.toString(), 'bert', 'whose connection is its own')
})

test('the challenge passes on as it is: clients that need HTTP/1.1 for it turn to that by themselves', async (t) => {
  const gate = await path(t)
  const anna = await h2Connect(t, gate.port)
  const { status, headers } = await h2Ask(anna, { ':path': '/' })
  t.equal(status, 401)
  t.equal(headers['www-authenticate'], 'NTLM TlRMTVNT, Negotiate')
})
