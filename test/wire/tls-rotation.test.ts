import root, { test } from 'tap'
import { writeFileSync } from 'node:fs'
import type tls from 'node:tls'
import { checkTlsFiles } from '../../src/gate/tls-parts.ts'
import { readSamples } from '../metrics/samples.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import type { Signed } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { certificateShown, echoBack, tlsConnect, tlsUpstream } from '../support/tls-peers.ts'

root.setTimeout(120_000)

const DAY_MS = 86_400_000

const reloads = async (gate: Gate, result: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_tls_reloads_total', { result })
const expiry = async (gate: Gate, name: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_tls_certificate_expiry_timestamp_seconds', { name })

test('a swapped Secret is shown to new clients, and open connections go on', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('first', { days: 3 }))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`,
  ])
  const open = await tlsConnect(t, gate.port, { ca: ca.cert })
  t.equal(open.tls.getPeerX509Certificate()?.subject, 'CN=first')
  const before = await expiry(gate, 'l0')
  for (const [nth, name] of ['second', 'third'].entries()) {
    mounted.swap(ca.issue(name, { days: 20 }))
    await eventually(async () => (await reloads(gate, 'success')) === nth + 1)
    t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), `CN=${name}`)
    void open.write('x')
    t.equal((await open.read(1)).toString(), 'x')
  }
  const days = ((await expiry(gate, 'l0'))! - before!) / 86_400
  t.ok(days > 16.9 && days < 17.1, `${days} days later`)
  t.equal(await reloads(gate, 'failure'), 0)
})

test('a pair that does not fit, or is gone, changes nothing, and the next good one is taken', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('first'))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`,
  ])
  const before = await expiry(gate, 'l0')
  mounted.swap({ cert: ca.issue('second').cert, key: ca.issue('stranger').key })
  await eventually(async () => (await reloads(gate, 'failure')) === 1)
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=first')
  t.equal(await expiry(gate, 'l0'), before)
  const garbage = `${ca.directory}/garbage`
  writeFileSync(garbage, 'garbage')
  mounted.swap({ cert: garbage, key: garbage })
  await eventually(async () => (await reloads(gate, 'failure')) === 2)
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=first')
  mounted.swap(ca.issue('third'))
  await eventually(async () => (await reloads(gate, 'success')) === 1)
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=third')
})

for (const workers of [1, 2])
  test(`the log names the place of a file that does not replace another, also once a reload has moved its listener; ${workers} workers`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const ca = authority(t)
    const mounted = mountedSecret(t, ca.issue('first'))
    const words: unknown[] = []
    const tcp = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
    const secure = `${tcp}, tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`
    const onLine = ({ msg, error }: Record<string, unknown>): void => {
      if (String(msg).startsWith('certificates not reloaded')) words.push(error)
    }
    const text = yamlOf([tcp, secure]).split('\n')
    const nth = text.findIndex((line) => line.includes('cert:'))
    const gate = await startGate(t, [tcp, secure], { workers, onLine })
    const failure = async (count: number): Promise<unknown> => {
      mounted.swap({ cert: ca.issue('second').cert, key: ca.issue('stranger').key })
      return eventually(() => words[count])
    }
    const at = (line: number): string => `test.yaml:${line + 1}:${text[nth]!.indexOf(mounted.key)}`
    t.match(await failure(0), new RegExp(`^${at(nth)} listeners\\[1\\]\\.tls\\.key: `))
    const [head, listeners] = [text.slice(0, nth - 1), text.slice(nth - 1, nth + 1)]
    t.match(await gate.reloadText([...head, '', '', ...listeners.toReversed()].join('\n')), {
      result: 'success',
    })
    t.match(await failure(1), new RegExp(`^${at(nth + 1)} listeners\\[0\\]\\.tls\\.key: `))
  })

const expired = { from: new Date(Date.now() - 10 * DAY_MS), to: new Date(Date.now() - DAY_MS) }

test('a certificate that has expired does not replace a valid one, one that expires sooner does', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('first'))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`,
  ])
  const open = await tlsConnect(t, gate.port, { ca: ca.cert })
  const before = await expiry(gate, 'l0')
  mounted.swap(ca.issue('expired', expired))
  await eventually(async () => (await reloads(gate, 'failure')) === 1)
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=first')
  t.equal(await expiry(gate, 'l0'), before)
  mounted.swap(ca.issue('sooner', { days: 1 }))
  await eventually(async () => (await reloads(gate, 'success')) === 1)
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=sooner')
  void open.write('x')
  t.equal((await open.read(1)).toString(), 'x', 'who was there from before goes on')
})

test('a reload of the configuration that names an expired certificate in the place of a valid one is refused, and changes nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const [good, old] = [ca.issue('first'), ca.issue('expired', expired)]
  const listener = ({ cert, key }: Signed, keys = ''): string =>
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${cert}", key: "${key}" ${keys} }`
  const gate = await startGate(t, [listener(good)])
  t.match(await gate.reload([listener(old)]), {
    result: 'failure',
    problems: [/listeners\[0\]\.tls\.cert: expired on [-\d]+, and the one in use is valid: renew it/],
  })
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=first')
  t.match(await gate.reload([listener(good, ', minVersion: TLSv1.3')]), { result: 'success' })
  t.equal(await certificateShown(t, gate.port, { ca: ca.cert }), 'CN=first')
})

test('at start an expired certificate is used, and any other replaces it', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('expired', expired))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`,
  ])
  const unchecked = { ca: ca.cert, options: { rejectUnauthorized: false } }
  t.equal(await certificateShown(t, gate.port, unchecked), 'CN=expired')
  mounted.swap(ca.issue('too', expired))
  await eventually(async () => (await reloads(gate, 'success')) === 1)
  t.equal(await certificateShown(t, gate.port, unchecked), 'CN=too')
})

test('the session tickets of before are good after a rotation', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('first'))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${mounted.cert}", key: "${mounted.key}" }`,
  ])
  const first = await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2' } })
  const session = first.tls.getSession()!
  first.end()
  mounted.swap(ca.issue('second'))
  await eventually(async () => (await reloads(gate, 'success')) === 1)
  const again = await tlsConnect(t, gate.port, { ca: ca.cert, options: { maxVersion: 'TLSv1.2', session } })
  t.ok(again.tls.isSessionReused())
})

test('what is shown to the upstream, and what is trusted of it, is rotated too', async (t) => {
  watchLeaks(t)
  const [ca, next] = [authority(t, 'ca'), authority(t, 'next')]
  const upstream = await tlsUpstream(t, ca.issue('legacy'), echoBack, {
    requestCert: true,
    rejectUnauthorized: false,
  })
  const mounted = mountedSecret(t, ca.issue('first'))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["localhost:${upstream.port}"], tls: { ca: "${ca.cert}", cert: "${mounted.cert}", key: "${mounted.key}" } }`,
  ])
  const shown = async (): Promise<string | undefined> => {
    const client = await connect(t, gate.port)
    void client.write('x')
    await client.read(1)
    return (upstream.connections.at(-1)!.socket as tls.TLSSocket).getPeerX509Certificate()?.subject
  }
  t.equal(await shown(), 'CN=first')
  t.ok((await expiry(gate, 'l0/upstream'))! > Date.now() / 1000)
  mounted.swap(next.issue('second'))
  await eventually(async () => (await reloads(gate, 'success')) === 1)
  t.equal(await shown(), 'CN=second')
})

test('files that cannot be used at start are a ConfigError that names each key', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const [one, other] = [ca.issue('one'), ca.issue('other')]
  const listener = `protocol: tcp, upstream: { addresses: ["localhost:1"], tls: { ca: "/nowhere/ca.crt" } }, tls: { cert: "${one.cert}", key: "${other.key}", clientCa: "${one.key}" }`
  await t.rejects(startGate(t, [listener]), {
    name: 'ConfigError',
    problems: [
      { path: 'listeners[0].tls.clientCa', message: /key holds no certificate in PEM, but a private key/ },
      { path: 'listeners[0].upstream.tls.ca', message: /^\/nowhere\/ca.crt does not exist, write the path/ },
    ],
  })
})

test('an authority that expires is warned of as a certificate of ours is: by check, in the log, and in the metric', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('first')
  const [soon, gone] = [ca.issue('soon', { days: 3 }), ca.issue('gone', expired)]
  const listener =
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${upstream.port}"], tls: { ca: "${gone.cert}" } }, ` +
    `tls: { cert: "${cert}", key: "${key}", clientCa: "${soon.cert}" }`
  const said: string[] = []
  const gate = await startGate(t, [listener], { onLine: ({ msg }) => void said.push(String(msg)) })
  const days = async (name: string): Promise<number> =>
    Math.round(((await expiry(gate, name))! - Date.now() / 1000) / 86_400)
  t.same([await days('l0'), await days('l0/clientCa'), await days('l0/upstream/ca')], [30, 3, -1])
  t.match(said.filter((words) => words.startsWith('last')).toSorted(), [
    /^last trusted authority expired on /,
    /^last trusted authority expires on [-\d]+, in 3 days: renew it$/,
  ])
  const { warnings } = await checkTlsFiles(gate.operator.effectiveConfig, Date.now())
  t.match(warnings, [
    { path: 'listeners[0].tls.clientCa', message: /^expires on .* in 3 days/ },
    { path: 'listeners[0].upstream.tls.ca', message: /^expired on / },
  ])
  t.match(await gate.reload([`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`]), { result: 'success' })
  t.notMatch(await gate.metrics(), /certificate_expiry_timestamp_seconds\{/, 'what is not in use is not told')
})
