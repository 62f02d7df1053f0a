import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

const warned = (listener: string, top = ''): string[] =>
  checkText(`${top}\nlisteners: [{ address: ":17080", upstream: "127.0.0.1:1", ${listener} }]`, 'f').warnings.map(({ path }) => path)

test('values that end innocent connections of tcp are risky, the defaults and longer ones are not, and http may have them', async (t) => {
  const risky = { write: '30s', upstreamIdle: '4m', idle: '1m', lifetime: '1h' }
  const fine = { write: '1m', upstreamIdle: '5m', idle: '5m', lifetime: 'off' }
  for (const [name, value] of Object.entries(risky)) {
    t.same(warned(`protocol: tcp, deadlines: { ${name}: ${value} }`), [`listeners[0].deadlines.${name}`], name)
    t.same(warned(`protocol: http, deadlines: { ${name}: ${value} }`), [], `${name} of http`)
  }
  for (const [name, value] of Object.entries(fine)) t.same(warned(`protocol: tcp, deadlines: { ${name}: ${value} }`), [], `${name} of ${value}`)
  t.same(warned('protocol: tcp'), [])
})

test('deadlines.write has a default for each protocol', async (t) => {
  const write = (protocol: string): unknown => checkText(`listeners: [{ address: ":17080", upstream: "127.0.0.1:1", protocol: ${protocol} }]`, 'f').config.listeners[0]?.deadlines.writeMs
  t.same([write('tcp'), write('http')], [300_000, 30_000])
})

test('drain.tcp: spread is risky where there is a listener of tcp', async (t) => {
  t.same(warned('protocol: tcp', 'drain: { tcp: spread }'), ['drain.tcp'])
  t.same(warned('protocol: http', 'drain: { tcp: spread }'), [])
})

test('a mode has an effect for a Unix socket only, and is written in quotes', async (t) => {
  t.same(warned('protocol: tcp, mode: "0660"'), ['listeners[0].mode'])
  const unix = (mode: string): unknown => checkText(`listeners: [{ address: "unix:/run/s", protocol: tcp, upstream: "127.0.0.1:1", mode: ${mode} }]`, 'f')
  t.match(unix('"0660"'), { config: { listeners: [{ mode: 0o660 }] }, warnings: [] })
  t.match(unix('off'), { config: { listeners: [{ mode: null }] } })
  for (const bad of ['660', '0o660', '"0668"', '"rw"', '"66"']) t.throws(() => unix(bad), /listeners\[0\]\.mode: got/, bad)
})
