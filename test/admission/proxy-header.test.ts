import { test } from 'tap'
import fc from 'fast-check'
import { SocketAddress } from 'node:net'
import { Address, UNIX_CLIENT } from '../../src/core/address.ts'
import { crc32c } from '../../src/admission/crc32c.ts'
import { ProxyHeaderReader } from '../../src/admission/proxy-header.ts'
import type { ProxyVersions } from '../../src/admission/proxy-header.ts'
import { proxyHeader } from '../../src/upstream/proxy-header.ts'
import { atPort } from '../support/addresses.ts'
import { runs } from '../support/runs.ts'

type Outcome = { client: string | null; local: string | null; rest: string } | { problem: string } | 'more'

/** Reads `bytes` in chunks of those sizes, and the rest in one. */
function read(
  bytes: Uint8Array | string,
  sizes: readonly number[] = [],
  versions: ProxyVersions = 'any',
): Outcome {
  const reader = new ProxyHeaderReader(versions)
  const all = Buffer.from(bytes as string, 'latin1')
  let at = 0
  for (const size of [...sizes, all.length]) {
    const chunk = Buffer.from(all.subarray(at, at + size))
    if (chunk.length === 0) continue
    at += chunk.length
    const outcome = reader.read(chunk, chunk.length)
    chunk.fill(0xee)
    if (outcome === 'more') continue
    if ('problem' in outcome) return { problem: outcome.problem }
    const { header, taken } = outcome
    return {
      client: header.client?.text ?? null,
      local: header.local?.text ?? null,
      rest: all.toString('latin1', at - chunk.length + taken),
    }
  }
  return 'more'
}

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const v2 = (command: number, family: number, body: Buffer, length = body.length): Buffer =>
  Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 255]), body])
const ipv4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 2, 0xdc, 0x04, 0x01, 0xbb])
const tlv = (type: number, value: Buffer): Buffer =>
  Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value])

test('version 1 names its client', async (t) => {
  t.same(read('PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET'), {
    client: '192.0.2.1:56324',
    local: '198.51.100.2:443',
    rest: 'GET',
  })
  t.same(read('PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n'), {
    client: '[2001:db8::1]:0',
    local: '[2001:db8::2]:65535',
    rest: '',
  })
  t.same(
    read('PROXY TCP6 2001:DB8:0:0::1 ::ffff:10.0.0.1 1 2\r\n'),
    { client: '[2001:db8::1]:1', local: '10.0.0.1:2', rest: '' },
    'one spelling for one client',
  )
  t.same(read('PROXY UNKNOWN\r\nx'), { client: null, local: null, rest: 'x' })
  t.same(
    read('PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nx'),
    { client: null, local: null, rest: 'x' },
    'what stands behind UNKNOWN does not count',
  )
  const longest = `PROXY UNKNOWN ${'f'.repeat(107 - 16)}\r\n`
  t.equal(longest.length, 107)
  t.match(read(longest), { client: null })
})

test('version 1 is strict: anything else is refused', async (t) => {
  const long = `PROXY UNKNOWN ${'f'.repeat(107 - 15)}\r\n`
  t.equal(long.length, 108)
  for (const bad of [
    'GET / HTTP/1.1\r\n',
    'proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXYTCP4',
    'PROXY  TCP4 192.0.2.1 198.51.100.2 1 2\r\n',
    long,
    'PROXY '.padEnd(107, 'x'),
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r \r\n',
    'PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 2 3\r\n',
    'PROXY TCP4 ::1 ::2 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n',
    'PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.2 1 \r\n',
    'PROXY UNKNOWN\0\r\r\n',
    'PROXY unknown\r\n',
    'PROXY TCP4 192.0.2.1\t198.51.100.2 1 2\r\n',
  ])
    t.match(read(bad), { problem: /PROXY/ }, JSON.stringify(bad))
})

test('version 2 names its client', async (t) => {
  t.same(read(Buffer.concat([v2(0x21, 0x11, ipv4), Buffer.from('x')])), {
    client: '192.0.2.1:56324',
    local: '198.51.100.2:443',
    rest: 'x',
  })
  const ipv6 = Buffer.alloc(36)
  ipv6.writeUInt32BE(0x20010db8, 0)
  ipv6[15] = 1
  ipv6.writeUInt32BE(0xffff, 24)
  ipv6.set([10, 0, 0, 1], 28)
  ipv6.writeUInt32BE(0x00010002, 32)
  t.same(read(v2(0x21, 0x21, ipv6)), { client: '[2001:db8::1]:1', local: '10.0.0.1:2', rest: '' })
  t.same(read(v2(0x21, 0x31, Buffer.alloc(216))), { client: 'unix', local: null, rest: '' })
  t.same(read(v2(0x20, 0x00, Buffer.alloc(0))), { client: null, local: null, rest: '' }, 'LOCAL')
  t.same(
    read(v2(0x20, 0x11, Buffer.from('what stands here does not count'))),
    { client: null, local: null, rest: '' },
    'LOCAL with addresses',
  )
  t.same(read(v2(0x21, 0x00, Buffer.from('nor here'))), { client: null, local: null, rest: '' }, 'UNSPEC')
  const tlvs = Buffer.concat([
    ipv4,
    tlv(0x05, Buffer.from('id')),
    tlv(0xe0, Buffer.alloc(0)),
    tlv(0x04, Buffer.alloc(4096 - 16 - 12 - 5 - 3 - 3)),
  ])
  t.match(read(v2(0x21, 0x11, tlvs)), { client: '192.0.2.1:56324' }, '4096 bytes in all')
})

test('version 2 is strict: anything else is refused', async (t) => {
  const cases: Record<string, Buffer> = {
    'a version of 1': v2(0x11, 0x11, ipv4),
    'a command of 2': v2(0x22, 0x11, ipv4),
    datagrams: v2(0x21, 0x12, ipv4),
    'a family of 4': v2(0x21, 0x41, ipv4),
    'too short for its addresses': v2(0x21, 0x11, ipv4.subarray(1)),
    'too short for IPv6': v2(0x21, 0x21, ipv4),
    'a TLV cut off': v2(0x21, 0x11, Buffer.concat([ipv4, Buffer.from([5, 0, 2, 1])])),
    'a TLV without a length': v2(0x21, 0x11, Buffer.concat([ipv4, Buffer.from([5, 0])])),
    'more than 4096 bytes': v2(0x21, 0x11, ipv4, 4081),
    '64 KiB': v2(0x20, 0x00, Buffer.alloc(0), 65_535),
    'a wrong checksum': v2(0x21, 0x11, Buffer.concat([ipv4, tlv(0x03, Buffer.from('abcd'))])),
    'a short checksum': v2(0x21, 0x11, Buffer.concat([ipv4, tlv(0x03, Buffer.alloc(3))])),
    'a broken signature': Buffer.from('\r\n\r\n\0\r\nQUIX', 'latin1'),
  }
  for (const [what, bytes] of Object.entries(cases)) t.match(read(bytes), { problem: /PROXY header/ }, what)
  t.same(read(v2(0x21, 0x11, ipv4), [], 'v1'), { problem: 'no PROXY header of version 1' })
  t.same(read('PROXY UNKNOWN\r\n', [], 'v2'), { problem: 'no PROXY header of version 2' })
})

test('the checksum is CRC-32C', async (t) => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  const blank = v2(0x21, 0x11, Buffer.concat([ipv4, tlv(0x03, Buffer.alloc(4))]))
  const right = Buffer.from(blank)
  right.writeUInt32BE(crc32c(blank), right.length - 4)
  t.match(read(right), { client: '192.0.2.1:56324' })
  for (let at = 16; at < right.length; at++) {
    const wrong = Buffer.from(right)
    wrong[at] = wrong[at]! ^ 1
    if (at === 28) continue // the type of the TLV itself: there is no checksum then
    t.match(read(wrong), { problem: /PROXY header/ }, `byte ${at}`)
  }
})

/** The form of the system. */
const spelt = (ip: string): string => new SocketAddress({ address: ip, family: 'ipv6' }).address
const address = fc.oneof(
  fc.tuple(fc.ipV4(), fc.ipV4()),
  fc.tuple(fc.ipV6(), fc.ipV6()).map((pair) => pair.map(spelt) as [string, string]),
)
const port = fc.nat({ max: 65_535 })
const sizes = fc.array(fc.integer({ min: 1, max: 20 }), { maxLength: 300 })

test('what we write for an upstream is what we read from a proxy, however it is split', async (t) => {
  fc.assert(
    fc.property(
      address,
      port,
      port,
      fc.constantFrom('v1', 'v2'),
      sizes,
      ([client, local], from, to, version, chunks) => {
        const header = proxyHeader(version, {
          client: new Address(client, from),
          localAddress: new Address(local, to),
        })
        const outcome = read(Buffer.concat([header, Buffer.from('behind')]), chunks)
        // The rest is counted from the chunk that completed the header.
        t.match(outcome, {
          client: new Address(client, from).text,
          local: new Address(local, to).text,
          rest: 'behind',
        })
        for (let length = 0; length < header.length; length++) {
          if (read(header.subarray(0, length), chunks) !== 'more')
            throw new Error(`${length} of ${header.length} bytes are taken for a whole header`)
        }
      },
    ),
    { numRuns: runs(200) },
  )
})

/** The specification's algorithm, in the most obvious way. */
function oracle(bytes: Buffer): string | null {
  if (bytes.subarray(0, 6).toString('latin1') === 'PROXY ') {
    const line = bytes.toString('latin1', 6, bytes.indexOf('\r\n'))
    const match = /^(TCP4|TCP6) (\S+) (\S+) (\d+) (\d+)$/.exec(line)
    return match === null
      ? null
      : new Address(match[1] === 'TCP4' ? match[2]! : spelt(match[2]!), Number(match[4])).text
  }
  if (bytes[12] !== 0x21 || bytes[13] === 0) return null
  if (bytes[13] === 0x11) return `${[...bytes.subarray(16, 20)].join('.')}:${bytes.readUInt16BE(24)}`
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(16 + 2 * at).toString(16))
  const ip = spelt(groups.join(':'))
  return new Address(ip, bytes.readUInt16BE(48)).text
}

test('no mutation of a header is a crash, nor an address that its bytes do not say', async (t) => {
  const mutation = fc.record({
    at: fc.nat({ max: 200 }),
    kind: fc.constantFrom('set', 'insert', 'remove'),
    byte: fc.nat({ max: 255 }),
  })
  let accepted = 0
  fc.assert(
    fc.property(
      address,
      port,
      port,
      fc.constantFrom('v1', 'v2'),
      fc.array(mutation, { minLength: 1, maxLength: 4 }),
      sizes,
      ([client, local], from, to, version, changes, chunks) => {
        let bytes = proxyHeader(version, {
          client: new Address(client, from),
          localAddress: new Address(local, to),
        })
        for (const { at, kind, byte } of changes) {
          const where = at % bytes.length
          bytes = Buffer.concat([
            bytes.subarray(0, where),
            kind === 'remove' ? Buffer.alloc(0) : Buffer.from([byte]),
            bytes.subarray(kind === 'insert' ? where : where + 1),
          ])
        }
        const outcome = read(bytes, chunks)
        if (outcome === 'more' || 'problem' in outcome || outcome.client === 'unix') return
        accepted++
        if (outcome.client !== null && outcome.client !== oracle(bytes))
          throw new Error(
            `${outcome.client} is not ${oracle(bytes)} in ${JSON.stringify(bytes.toString('latin1'))}`,
          )
      },
    ),
    { numRuns: runs(3000) },
  )
  t.ok(accepted > runs(50), `${accepted} of the mutated headers were still whole ones`)
})

test('garbage is refused with its first wrong byte', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), sizes, (bytes, chunks) => {
      const first = bytes[0]
      const outcome = read(Buffer.from(bytes), chunks)
      if (first !== 0x50 && first !== 0x0d) t.match(outcome, { problem: 'no PROXY header' })
    }),
  )
  t.match(read('PX'), { problem: 'no PROXY header' })
  t.equal(read('PROXY'), 'more')
})

test('a client without an address is introduced as UNKNOWN, or LOCAL', async (t) => {
  for (const [client, localAddress] of [
    [UNIX_CLIENT, null],
    [atPort('192.0.2.1:1'), null],
    [UNIX_CLIENT, atPort('192.0.2.1:1')],
  ] as const) {
    t.equal(proxyHeader('v1', { client, localAddress }).toString(), 'PROXY UNKNOWN\r\n')
    t.match(read(proxyHeader('v2', { client, localAddress })), {
      client: null,
    })
  }
  t.equal(
    proxyHeader('v1', { client: atPort('192.0.2.1:1'), localAddress: atPort('[2001:db8::1]:2') }).toString(),
    'PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n',
    'both of one family',
  )
  t.equal(
    proxyHeader('v1', {
      client: atPort('[fe80::1%eth0]:1'),
      localAddress: atPort('[fe80::2%eth0]:2'),
    }).toString(),
    'PROXY TCP6 fe80::1 fe80::2 1 2\r\n',
  )
})
