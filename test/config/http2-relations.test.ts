import { test } from 'tap'
import { parseConfig } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'

function problemsOf(listener: string): string[] {
  try {
    parseConfig(`listeners:\n  - { name: a, address: ":17080", ${listener} }\n`, 'x.yaml')
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ path, message }) => `${path} ${message}`)
  }
}

const upstream = (more: string): string =>
  `upstream: { addresses: ["127.0.0.1:8080"], protocol: h2c, ${more} }`

test('an upstream that speaks HTTP/2 has requests of many clients on a connection, and no upgrade', (t) => {
  t.same(problemsOf(`protocol: http, ${upstream('healthCheck: { type: http }')}`), [])
  t.match(problemsOf(`protocol: tcp, ${upstream('')}`), [
    /upstream\.protocol has no meaning with protocol: tcp/,
  ])
  t.match(problemsOf(`protocol: http, ${upstream('proxyProtocol: v2')}`), [
    /upstream\.proxyProtocol names one client for a connection/,
  ])
  t.match(problemsOf(`protocol: http, ${upstream('healthCheck: { type: websocket }')}`), [
    /healthCheck\.type got websocket/,
  ])
  t.same(problemsOf(`protocol: http, ${upstream('healthCheck: { type: grpc }')}`), [])
  t.match(problemsOf(`protocol: http, ${upstream('healthCheck: { type: grpc }').replace('h2c', 'http1')}`), [
    /got grpc, which needs upstream\.protocol: h2c/,
  ])
  t.match(problemsOf(`protocol: http, ${upstream('').replace('h2c', 'h2')}`), [/h2c/])
  t.end()
})
