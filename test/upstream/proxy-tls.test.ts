import { test } from 'tap'
import { ProxyHeaderReader } from '../../src/admission/proxy-header.ts'
import type { ClientTls } from '../../src/core/client-tls.ts'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { tlsValues } from '../../src/upstream/proxy-tls.ts'
import { addressOf, atPort } from '../support/addresses.ts'

const certificate = {
  subject: 'CN=known',
  commonName: 'known',
  uris: [],
  dnsNames: [],
  emails: [],
  addresses: [],
  fingerprint: 'ab',
}
const client: ClientTls = {
  version: 'TLSv1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  protocol: 'h2',
  serverName: 'app.example',
  isResumed: false,
  certificate,
}
const ends = { client: addressOf('192.0.2.1:1'), localAddress: atPort('192.0.2.2:2') }

/** Type, length and value, one after the other. */
function take(bytes: Buffer): Array<[type: number, value: Buffer]> {
  const values: Array<[number, Buffer]> = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 3 + bytes.readUInt16BE(at + 1)
    if (end > bytes.length) throw new Error('cut')
    values.push([bytes[at]!, bytes.subarray(at + 3, end)])
    at = end
  }
  return values
}

const ssl = (tls: ClientTls): { flags: number; verify: number; values: Array<[number, string]> } => {
  const value = take(tlsValues(tls)).find(([type]) => type === 0x20)![1]
  return {
    flags: value[0]!,
    verify: value.readUInt32BE(1),
    values: take(value.subarray(5)).map(([type, text]) => [type, text.toString()]),
  }
}

test('version 2 tells of TLS: protocol, name, version, cipher, and the common name of a verified certificate', async (t) => {
  t.same(
    take(tlsValues(client)).map(([type, value]) => (type === 0x20 ? type : [type, value.toString()])),
    [[0x01, 'h2'], [0x02, 'app.example'], 0x20],
  )
  t.same(ssl(client), {
    flags: 7,
    verify: 0,
    values: [
      [0x21, 'TLSv1.3'],
      [0x22, 'known'],
      [0x23, 'TLS_AES_256_GCM_SHA384'],
    ],
  })
  t.match(ssl({ ...client, isResumed: true }), { flags: 5, verify: 0 })
  t.same(ssl({ ...client, certificate: null, protocol: null, serverName: null }), {
    flags: 1,
    verify: 1,
    values: [
      [0x21, 'TLSv1.3'],
      [0x23, 'TLS_AES_256_GCM_SHA384'],
    ],
  })
})

test('a common name that is too long is left out, not cut: half a name is another one', async (t) => {
  const named = (commonName: string): boolean =>
    ssl({ ...client, certificate: { ...certificate, commonName } }).values.some(([type]) => type === 0x22)
  t.same([named('x'.repeat(256)), named('x'.repeat(257)), named('é'.repeat(129))], [true, false, false])
})

test('the length of the header counts it all, beyond 255 bytes too, and readers take it', async (t) => {
  const long = { ...client, serverName: 'x'.repeat(255) }
  const header = proxyHeader('v2', { ...ends, tls: long })
  t.equal(header.readUInt16BE(14), header.length - 16)
  const read = new ProxyHeaderReader('v2').read(header, header.length)
  t.match(read, { taken: header.length, header: { client: { text: '192.0.2.1:1' } } })
  t.same(proxyHeader('v1', { ...ends, tls: long }), proxyHeader('v1', ends))
})
