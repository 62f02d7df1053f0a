import { test } from 'tap'
import { judgeAccess } from '../../src/admission/access.ts'
import { UNIX_CLIENT } from '../../src/core/address.ts'
import { Address, spell } from '../../src/core/address.ts'

const judge = (ip: string, allow: string[] | null, deny: string[] = []): string | null =>
  judgeAccess(
    {
      isAllowed: allow === null ? null : (one) => allow.includes(one),
      isDenied: (one) => deny.includes(one),
    },
    new Address(ip, 1),
  )?.detail ?? null

test('deny wins, allow refuses the rest, and neither lets everybody in', async (t) => {
  t.equal(judge('10.0.0.1', null), null)
  t.equal(judge('10.0.0.1', null, ['10.0.0.1']), 'access.deny')
  t.equal(judge('10.0.0.1', ['10.0.0.1'], ['10.0.0.1']), 'access.deny')
  t.equal(judge('10.0.0.1', ['10.0.0.1']), null)
  t.equal(judge('10.0.0.2', ['10.0.0.1']), 'access.allow')
})

test('a client is judged by one spelling of its address, a unix socket by none', async (t) => {
  t.equal(judge('::ffff:10.0.0.1', ['10.0.0.1']), null)
  t.equal(judge('fe80::1%eth0', ['fe80::1']), null)
  t.equal(judgeAccess({ isAllowed: () => false, isDenied: () => true }, UNIX_CLIENT), null)
  t.equal(new Address('::ffff:10.0.0.1', 5).text, '10.0.0.1:5')
  t.equal(new Address('fe80::1%eth0', 5).text, '[fe80::1%eth0]:5')
  t.same(['2001:DB8:0:0:0:0:0:1', '::FFFF:10.0.0.1', '0:0:0:0:0:0:0:1'].map(spell), [
    '2001:db8::1',
    '10.0.0.1',
    '::1',
  ])
})
