import { test } from 'tap'
import { parseConfig } from '../../src/config/load.ts'
import { localPorts } from '../../src/config/local-ports.ts'
import { riskyValues } from '../../src/config/warnings.ts'

const kernel =
  (range: string, reserved = '') =>
  (name: string) =>
    name === 'ip_local_port_range' ? range : reserved

test('the local ports are those of the range, less those that are reserved in it', (t) => {
  t.equal(localPorts(kernel('32768\t60999\n')), 28_232)
  t.equal(localPorts(kernel('32768\t60999\n', '8080,40000-40009,60999,60990-61010\n')), 28_232 - 10 - 1 - 10)
  t.equal(
    localPorts(() => {
      throw new Error('no such file')
    }),
    28_232,
  )
  t.ok(localPorts() > 0)
  t.end()
})

test('more connections than local ports for one upstream address are warned of, and only those', (t) => {
  const found = (upstream: string, connections: number | null = 30_000) => {
    const limits =
      connections === null ? '' : `, limits: { connections: ${connections} }, buffers: { high: 4KiB }`
    const config = parseConfig(
      `listeners: [{ address: ":17080", protocol: tcp, upstream: ${upstream}${limits} }]`,
      'f',
    )
    return riskyValues(config, undefined, 28_232)
      .filter(({ message }) => message.includes('EADDRNOTAVAIL'))
      .map(({ path }) => path.join('.'))
  }
  t.same(found('"127.0.0.1:1"'), ['listeners.0.limits.connections'])
  t.same(found('"service:1"'), ['listeners.0.limits.connections'])
  t.same(found('"127.0.0.1:1"', 28_232), [])
  t.same(found('"127.0.0.1:1"', 28_233), ['listeners.0.limits.connections'])
  t.same(found('"127.0.0.1:1"', null), [], 'the default fits')
  t.same(found('{ addresses: ["127.0.0.1:1", "127.0.0.2:1"] }'), [])
  t.same(found('{ addresses: ["127.0.0.1:1"], maxConnections: 20000 }'), [])
  t.same(found('"unix:/a"'), [])
  t.end()
})
