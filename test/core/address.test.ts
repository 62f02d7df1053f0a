import fc from 'fast-check'
import { SocketAddress } from 'node:net'
import { test } from 'tap'
import { Address, bytesOf, ipOf, isLoopbackHost, joinPort, networkOf, spell } from '../../src/core/address.ts'
import { runs } from '../support/runs.ts'

test('an address is shown with its port and interface, and compared without', async (t) => {
  const shown = (ip: string): unknown[] => {
    const { ip: plain, port, text, bytes } = new Address(ip, 80)
    return [plain, port, text, bytes.toString('hex')]
  }
  t.same(shown('192.0.2.1'), ['192.0.2.1', 80, '192.0.2.1:80', 'c0000201'])
  t.same(shown('2001:db8::1'), ['2001:db8::1', 80, '[2001:db8::1]:80', '20010db8000000000000000000000001'])
  t.same(shown('::ffff:192.0.2.1'), ['192.0.2.1', 80, '192.0.2.1:80', 'c0000201'])
  t.same(shown('fe80::1%eth0'), ['fe80::1', 80, '[fe80::1%eth0]:80', 'fe800000000000000000000000000001'])
})

test('what is shown is read back, and what is no address is none', async (t) => {
  for (const text of ['192.0.2.1:80', '[2001:db8::1]:65535', '[fe80::1%eth0]:1'])
    t.equal(Address.parse(text)?.text, text)
  for (const text of [
    'unix',
    'none',
    '',
    'host:80',
    '1.2.3:80',
    '[::g]:80',
    '192.0.2.1',
    '::1',
    '[::1]',
    '192.0.2.256:1',
    'a.b:1',
  ])
    t.equal(Address.parse(text), null, text)
})

test('every spelling of an address has the same bytes, and bytes have one spelling, that of the system', async () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.nat(8),
      fc.nat(8),
      (random, zeroFrom, zeros) => {
        const bytes = Buffer.from(random).fill(0, 2 * zeroFrom, Math.min(16, 2 * (zeroFrom + zeros)))
        const full = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16))
        const dotted = [...full.slice(0, 6), bytes.subarray(12).join('.')].join(':')
        const system = new SocketAddress({ address: full.join(':'), family: 'ipv6' }).address
        for (const spelling of [
          full.join(':'),
          full.join(':').toUpperCase(),
          full.map((group) => group.padStart(4, '0')).join(':'),
          dotted,
          system,
        ]) {
          if (!bytesOf(spelling).equals(bytes)) throw new Error(`${spelling} is not ${bytes.toString('hex')}`)
          if (spell(spelling) !== ipOf(bytes)) throw new Error(`${spelling} has another name`)
        }
      },
    ),
    { numRuns: runs(2000) },
  )
})

test('a client is an IPv4 address, however it came in, or an IPv6 /64', async (t) => {
  for (const ip of ['192.0.2.1', '::ffff:192.0.2.1', '::FFFF:c000:201', '0:0:0:0:0:ffff:c000:0201'])
    t.equal(networkOf(ip), '192.0.2.1', ip)
  for (const ip of ['2001:db8:0:7::1', '2001:DB8:0:7:ffff:ffff:ffff:ffff', '2001:db8:0:7::%eth0'])
    t.equal(networkOf(ip), '2001:db8:0:7::/64', ip)
})

test('hosts with colons get brackets, and loopback is known in every form', async (t) => {
  t.same([joinPort('a', 1), joinPort('::1', 2)], ['a:1', '[::1]:2'])
  for (const host of [
    'localhost',
    'LocalHost',
    '127.0.0.1',
    '127.255.0.1',
    '::1',
    '0:0::1',
    '::ffff:127.0.0.1',
    '::FFFF:127.1.2.3',
  ])
    t.ok(isLoopbackHost(host), host)
  for (const host of [
    '',
    'localhost.example',
    '127.0.0.1.example.com',
    '128.0.0.1',
    '::2',
    '::',
    '0.0.0.0',
    '::ffff:128.0.0.1',
    '127.1',
  ])
    t.notOk(isLoopbackHost(host), host)
})
