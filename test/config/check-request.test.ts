import { test } from 'tap'
import { effectiveConfig } from '../../src/config/effective.ts'
import { checkText } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'

const file = (check: string) =>
  `listeners: [{ address: ":17080", protocol: http, upstream: { addresses: ["127.0.0.1:8080"], healthCheck: { ${check} } } }]`
const read = (check: string) =>
  checkText(file(check), 'f', { KEY: 'hunter2' }).config.listeners[0]!.upstream.healthCheck
const problem = (check: string): string => {
  try {
    read(check)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
  }
  return 'none'
}

test('a check has a host, headers and statuses of its own', (t) => {
  t.match(read('type: http'), { host: null, headers: {}, status: ['200-399'] })
  t.match(read('type: http, host: "app.example:81", headers: { X-Key: "${KEY}" }, status: [204, 300-399]'), {
    host: 'app.example:81',
    headers: { 'X-Key': 'hunter2' },
    status: ['204', '300-399'],
  })
  t.match(read('type: websocket, host: "[::1]:81", headers: { Origin: "https://a" }'), { host: '[::1]:81' })
  t.end()
})

test('what a check cannot send or get is an error that says so, without the value of a header', (t) => {
  t.match(problem('type: http, host: "a b"'), /healthCheck\.host: got .*write a host/)
  t.match(problem('type: http, headers: { Host: a }'), /write host/)
  t.match(problem('type: http, headers: { Content-Length: "3" }'), /not for a check to set/)
  t.match(problem('type: http, headers: { X-A: "secret\\n" }'), /visible ASCII/)
  t.notMatch(problem('type: http, headers: { X-A: "secret\\n" }'), /secret/)
  t.match(problem('type: http, headers: { "a b": c }'), /no name of a header/)
  for (const status of ['100', '99', '600', '399-200', 'a'])
    t.match(problem(`type: http, status: [${status}]`), /write a status/, status)
  t.match(problem('type: tcp, host: a'), /has no meaning with type: tcp/)
  t.match(problem('type: websocket, status: [200]'), /has no meaning with type: websocket/)
  t.end()
})

test('the values of headers are not shown in the configuration in force', (t) => {
  const shown = JSON.stringify(
    effectiveConfig(
      checkText(file('type: http, headers: { X-Key: "${KEY}" }'), 'f', { KEY: 'hunter2' }).config,
    ),
  )
  t.match(shown, /"X-Key":"\(redacted\)"/)
  t.notMatch(shown, /hunter2/)
  t.end()
})
