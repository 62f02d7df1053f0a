import { BlockList } from 'node:net'
import { test } from 'tap'
import { parseCidr } from '../../src/config/cidr.ts'

const value = (input: unknown): unknown => {
  const parsed = parseCidr(input)
  return 'value' in parsed
    ? `${parsed.value.family} ${parsed.value.address}/${parsed.value.prefix}`
    : parsed.problem
}

test('a network or one address is read', (t) => {
  t.equal(value('10.0.0.0/8'), 'ipv4 10.0.0.0/8')
  t.equal(value('10.1.2.3/8'), 'ipv4 10.1.2.3/8', 'bits beyond the prefix do not count')
  t.equal(value('0.0.0.0/0'), 'ipv4 0.0.0.0/0')
  t.equal(value('10.0.0.1'), 'ipv4 10.0.0.1/32')
  t.equal(value('fd00::/8'), 'ipv6 fd00::/8')
  t.equal(value('::1'), 'ipv6 ::1/128')
  t.equal(value('::/0'), 'ipv6 ::/0')
  t.end()
})

test('an IPv4 network in IPv6 clothes is the IPv4 network, as peers are written', (t) => {
  t.equal(value('::ffff:10.0.0.0/104'), 'ipv4 10.0.0.0/8')
  t.equal(value('::FFFF:10.0.0.1'), 'ipv4 10.0.0.1/32')
  t.equal(value('::ffff:a00:1'), 'ipv4 10.0.0.1/32')
  t.equal(value('0:0:0:0:0:ffff:a00:0/96'), 'ipv4 10.0.0.0/0')
  t.equal(value('::ffff:0:0/95'), 'ipv6 ::ffff:0:0/95', 'larger than IPv4')
  t.equal(value('::10.0.0.1'), 'ipv6 ::10.0.0.1/128')
  t.end()
})

test('everything else is refused with what to write instead', (t) => {
  const remedy = 'write a network such as 10.0.0.0/8, or one address'
  for (const bad of [
    '',
    '10.0.0.0/',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0/8',
    '010.0.0.0/8',
    '10.0.0.256',
    '10.0.0.0/8 ',
    'example.com',
    '[::1]',
    'fe80::1%eth0',
    '1.2.3.4:80',
    '10.0.0.0/8/8',
    ':::/8',
    'g::',
  ]) {
    t.ok(String(value(bad)).endsWith(remedy), bad)
  }
  for (const bad of [null, 5, [], {}, true]) t.ok(String(value(bad)).endsWith(remedy))
  t.equal(value('10.0.0.0/33'), 'got 10.0.0.0/33, an IPv4 prefix has at most 32 bits')
  t.equal(value('fd00::/129'), 'got fd00::/129, an IPv6 prefix has at most 128 bits')
  t.end()
})

test('what is read is what node:net takes, and decides by', (t) => {
  const networks = [
    '10.1.2.3/8',
    '192.0.2.1',
    '0.0.0.0/32',
    'fd00::1/8',
    '::1',
    '2001:db8::/127',
    '::ffff:198.51.100.0/120',
  ]
  const list = new BlockList()
  for (const network of networks) {
    const parsed = parseCidr(network)
    if ('value' in parsed) list.addSubnet(parsed.value.address, parsed.value.prefix, parsed.value.family)
  }
  const inside = ['10.255.0.1', '192.0.2.1', 'fdff::', '::1', '2001:db8::1', '198.51.100.7']
  const outside = ['11.0.0.1', '192.0.2.2', 'fc00::1', '::2', '2001:db8::2', '198.51.101.7']
  for (const address of inside)
    t.equal(list.check(address, address.includes(':') ? 'ipv6' : 'ipv4'), true, address)
  for (const address of outside)
    t.equal(list.check(address, address.includes(':') ? 'ipv6' : 'ipv4'), false, address)
  t.end()
})
