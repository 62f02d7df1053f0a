import fc from 'fast-check'
import { test } from 'tap'
import { Address, UNIX_CLIENT } from '../../src/core/address.ts'
import { namedClient } from '../../src/http1/named-client.ts'
import { addressOf } from '../support/addresses.ts'
import { fieldsOf } from '../support/fields.ts'

type Header = [name: string, value: string]

const peer = addressOf('10.0.0.9:5000')
const isTrusted = (ip: string): boolean => ip.startsWith('10.') || ip.startsWith('fd00:')

function named(headers: Header[], form: 'x-forwarded' | 'rfc7239' | 'both' | 'off' = 'x-forwarded'): string {
  return namedClient(fieldsOf(headers), peer, { form, isTrusted }).text
}

test('the client is the last in the list that is no trusted proxy', (t) => {
  for (const [list, client] of [
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7, 10.0.0.3', '203.0.113.7'],
    ['192.0.2.9, 203.0.113.7,10.0.0.3 ,fd00::1', '203.0.113.7'],
    ['10.0.0.4, 10.0.0.3', '10.0.0.4'],
    ['2001:DB8:0::7', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:443', '[2001:db8::7]:443'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:51000', '203.0.113.7:51000'],
    ['203.0.113.7,, ', '203.0.113.7'],
  ] as const)
    t.equal(named([['X-Forwarded-For', list]]), client, list)
  t.equal(named([]), peer.text, 'without a word it is the peer')
  t.equal(
    named([
      ['X-Forwarded-For', '192.0.2.9'],
      ['x-forwarded-for', '203.0.113.7, 10.0.0.3'],
    ]),
    '203.0.113.7',
    'lines are one list',
  )
  t.end()
})

test('what cannot be read ends the list: nobody is taken for who stands before it', (t) => {
  for (const odd of [
    'unknown',
    '203.0.113.256',
    'a.example',
    '203.0.113.7:99999',
    'fe80::1%eth0',
    '"203.0.113.7"',
    '203.0.113.7;x',
    '203.0.113',
  ]) {
    t.equal(named([['X-Forwarded-For', odd]]), peer.text, odd)
    t.equal(named([['X-Forwarded-For', `192.0.2.9, ${odd}, 10.0.0.3`]]), '10.0.0.3', odd)
  }
  t.equal(
    named([['X-Forwarded-For', '192.0.2.9, '.padEnd(5000, '10.0.0.1, ')]]),
    '10.0.0.1',
    'nor beyond a bound',
  )
  t.end()
})

test('Forwarded is read as RFC 7239 has it', (t) => {
  for (const [list, client] of [
    ['for=203.0.113.7', '203.0.113.7'],
    ['proto=https;For="203.0.113.7:80";by=10.0.0.1', '203.0.113.7:80'],
    ['for="[2001:db8::7]:443"', '[2001:db8::7]:443'],
    ['for="[2001:db8::7]"; proto=http, for=10.0.0.3', '2001:db8::7'],
    ['for=192.0.2.9, for=203.0.113.7;host="a, b"', peer.text],
    ['for=unknown', peer.text],
    ['for=_hidden, for=10.0.0.3', '10.0.0.3'],
    ['proto=https', peer.text],
    ['xfor=203.0.113.7', peer.text],
  ] as const)
    t.equal(named([['Forwarded', list]]), client, list)
  t.end()
})

test('of two headers that of http.forwarded counts: the other may be what the client wrote', (t) => {
  const both: Header[] = [
    ['Forwarded', 'for=192.0.2.1'],
    ['X-Forwarded-For', '192.0.2.2'],
  ]
  for (const form of ['x-forwarded', 'both', 'off'] as const) t.equal(named(both, form), '192.0.2.2', form)
  t.equal(named(both, 'rfc7239'), '192.0.2.1')
  t.equal(
    named([['X-Forwarded-For', '192.0.2.2']], 'rfc7239'),
    '192.0.2.2',
    'the other where it is the only one',
  )
  t.equal(namedClient(fieldsOf([]), UNIX_CLIENT, { form: 'both', isTrusted }), UNIX_CLIENT)
  t.end()
})

test('whatever a client writes before it, the address that the last proxy adds is the client', async () => {
  const client = new Address('203.0.113.7', null)
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 60 }), fc.boolean(), (said, isStandard) => {
      const list = `${said}, ${isStandard ? 'for=' : ''}203.0.113.7`
      const headers: Header[] = [[isStandard ? 'Forwarded' : 'X-Forwarded-For', list]]
      if (namedClient(fieldsOf(headers), peer, { form: 'x-forwarded', isTrusted }).text !== client.text)
        throw new Error(list)
    }),
  )
})
