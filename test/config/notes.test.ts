import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

const checked = (listener: string, address = ':17080') =>
  checkText(`listeners: [{ address: "${address}", upstream: "127.0.0.1:1", ${listener} }]`, 'f')
const noted = (listener: string, address?: string): string[] =>
  checked(listener, address).notes.map(({ path }) => path)

test('whether a proxy is before an http listener is an open question, no warning, until the file says it', async (t) => {
  const question = ['listeners[0].http.trustForwarded']
  t.strictSame(noted('protocol: http'), question)
  t.strictSame(noted('protocol: http, http: { maxBody: 1MiB }'), question)
  t.strictSame(noted('protocol: http', '127.0.0.1:17080'), question)
  t.strictSame(checked('protocol: http').warnings, [])
  for (const answer of ['[]', '[private]', '[10.0.0.0/8]'])
    t.strictSame(noted(`protocol: http, http: { trustForwarded: ${answer} }`), [], answer)
  t.strictSame(
    noted('protocol: http, proxyProtocol: { accept: any, trusted: [10.0.0.0/8] }'),
    [],
    'the PROXY protocol names the client',
  )
  t.strictSame(noted('protocol: tcp'), [])
  t.strictSame(noted('protocol: http', 'unix:/run/s'), [], 'a peer without an address cannot be trusted')
})

test('an application redirects for ever where the gate speaks in the clear only', async (t) => {
  const message = (listener: string): string => checked(listener).notes[0]!.message
  t.match(message('protocol: http'), 'redirects for ever')
  t.notMatch(message('protocol: http, tls: { cert: /c, key: /k }'), 'redirects')
})

test('the note says that limits per client and access take a proxy for a client, where there are any', async (t) => {
  const message = (listener: string): string => checked(`protocol: http, ${listener}`).notes[0]!.message
  for (const asks of [
    'access: { deny: [192.0.2.0/24] }',
    'limits: { connectionsPerClient: 5 }',
    'limits: { newConnections: { rate: 5, per: client, onExceed: close } }',
    'limits: { bytes: { rate: 1MiB, per: client } }',
  ])
    t.match(message(asks), 'and limits per client and access do, too', asks)
  t.notMatch(message('limits: { bytes: { rate: 1MiB } }'), 'limits per client')
})

test('workers: auto asks whose cores it means, and a number answers', async (t) => {
  const of = (workers: string) =>
    checkText(
      `workers: ${workers}\nlisteners: [{ address: ":17080", upstream: "127.0.0.1:1", protocol: tcp }]`,
      'f',
    )
  t.match(of('auto').notes, [
    { path: 'workers', line: 1, message: /without a CPU limit.* the cores of the node/ },
  ])
  t.strictSame(of('4').notes, [])
  t.strictSame(of('auto').warnings, [])
})
