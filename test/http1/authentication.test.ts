import { test } from 'tap'
import { asksToBind, bindsConnection, isChallenge } from '../../src/http1/authentication.ts'
import { fieldsOf } from '../support/fields.ts'

test('NTLM and Negotiate bind a connection, in any case, beside other schemes; nothing else does', (t) => {
  for (const value of ['NTLM', 'NTLM TlRMTVNTUAAB', 'negotiate YII', 'Negotiate'])
    t.equal(bindsConnection(fieldsOf([['authorization', value]])), true, value)
  for (const value of ['', 'Basic NTLM', 'Bearer x', 'NTLMv2 x', 'Digest username=ntlm'])
    t.equal(bindsConnection(fieldsOf([['Authorization', value]])), false, value)
  t.equal(bindsConnection(fieldsOf([['X-Authorization', 'NTLM x']])), false)
  for (const value of ['NTLM', 'Negotiate', 'Basic realm="x", NTLM', 'Kerberos, Negotiate, NTLM'])
    t.equal(asksToBind(fieldsOf([['WWW-Authenticate', value]])), true, value)
  t.equal(
    asksToBind(
      fieldsOf([
        ['WWW-Authenticate', 'Basic realm=x'],
        ['www-authenticate', 'negotiate'],
      ]),
    ),
    true,
  )
  t.equal(asksToBind(fieldsOf([['WWW-Authenticate', 'Basic realm="ntlm"']])), false)
  t.end()
})

test('a challenge is one that a client of the scheme goes on with', (t) => {
  for (const value of [
    'NTLM TlRMTVNTUAAC',
    'negotiate oXcwdaAD',
    'Basic realm="x", NTLM TlRMTVNTUAAC==',
    'Negotiate  a',
  ])
    t.equal(isChallenge(fieldsOf([['WWW-Authenticate', value]])), true, value)
  for (const value of [
    'NTLM',
    'Negotiate',
    'Negotiate, NTLM',
    'NTLM , Basic realm="x"',
    'Digest nonce="NTLM a"',
    '',
  ])
    t.equal(isChallenge(fieldsOf([['WWW-Authenticate', value]])), false, value)
  t.end()
})
