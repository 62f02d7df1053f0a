import fc from 'fast-check'
import { test } from 'tap'
import { networkOf } from '../../src/core/address.ts'
import { atPort } from '../support/addresses.ts'

const networkAt = (text: string): string => networkOf(atPort(text).ip)

test('an IPv4 client is its address, whatever its port', (t) => {
  t.equal(networkAt('192.0.2.1:1234'), '192.0.2.1')
  t.equal(networkAt('192.0.2.1'), '192.0.2.1')
  t.end()
})

test('an IPv4 address that came in over IPv6 is the same client, in every spelling', (t) => {
  for (const address of [
    '[::ffff:192.0.2.1]:1',
    '::ffff:192.0.2.1',
    '[::FFFF:c000:201]:1',
    '[0:0:0:0:0:ffff:c000:0201]:65535',
  ])
    t.equal(networkAt(address), '192.0.2.1', address)
  t.not(networkAt('[::fffe:192.0.2.1]:1'), '192.0.2.1')
  t.end()
})

test('an IPv6 client is its /64, in every spelling', (t) => {
  for (const address of [
    '[2001:db8:0:7::1]:1',
    '[2001:DB8:0:7:ffff:ffff:ffff:ffff]:2',
    '2001:db8:0:7:0:0:0:5',
    '[2001:db8:0:7::%eth0]:3',
  ])
    t.equal(networkAt(address), '2001:db8:0:7::/64', address)
  t.equal(networkAt('[2001:db8:0:8::1]:1'), '2001:db8:0:8::/64')
  t.equal(networkAt('[::1]:1'), '0:0:0:0::/64')
  t.end()
})

test('all addresses of a /64 are one client, and those of another are not', async () => {
  const group = fc.integer({ min: 0, max: 0xffff })
  fc.assert(
    fc.property(
      fc.array(group, { minLength: 4, maxLength: 4 }),
      fc.array(group, { minLength: 4, maxLength: 4 }),
      fc.array(group, { minLength: 4, maxLength: 4 }),
      fc.nat(3),
      (net, one, other, nth) => {
        const text = (groups: number[]): string =>
          `[${groups.map((number) => number.toString(16)).join(':')}]:1`
        if (net.slice(0, 4).every((number) => number === 0)) return
        if (networkAt(text([...net, ...one])) !== networkAt(text([...net, ...other])))
          throw new Error('one network, two clients')
        const neighbour = net.with(nth, (net[nth]! + 1) & 0xffff)
        if (networkAt(text([...net, ...one])) === networkAt(text([...neighbour, ...one])))
          throw new Error('two networks, one client')
      },
    ),
  )
})
