import { test } from 'tap'
import type { X509Certificate } from 'node:crypto'
import { X509Certificate as RealCertificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describeCertificate } from '../../src/admission/client-tls.ts'
import { certificateElement } from '../../src/http1/client-certificate.ts'
import { authority } from '../support/certificates.ts'

test('what a certificate says is taken apart and put together again so that no part passes for another', async (t) => {
  const ca = authority(t)
  const odd = ca.issue('odd', {
    host: 'odd.example',
    subject: '/O=a\nCN=admin/OU=x \\+ CN=y, "z"/CN=it\\\\s; me=1 <é>',
    names: ['URI:urn:a,b;Hash=00', 'URI:urn:q\\"r', 'DNS:two.example', 'DNS:a, URI:urn:forged'],
  })
  const described = describeCertificate(new RealCertificate(readFileSync(odd.cert)))
  t.same(described.uris, ['urn:a,b;Hash=00', 'urn:q"r'])
  t.same(described.dnsNames, ['odd.example', 'two.example'], 'a name with a space names nobody')
  t.same(described.addresses, ['127.0.0.1'])
  t.equal(described.commonName, 'it\\s; me=1 <é>')
  t.equal(described.subject, 'CN=it\\\\s\\; me=1 \\<é\\>,OU=x \\+ CN=y\\, \\"z\\",O=a\\0ACN=admin')
  const element = certificateElement(described)
  t.match(element, /^[ -~]+$/)
  t.equal(
    element,
    `Hash=${described.fingerprint};Subject="CN=it\\\\s\\; me=1 \\<\\C3\\A9\\>,OU=x \\+ CN=y\\, \\"z\\",O=a\\0ACN=admin";URI="urn:a,b;Hash=00";URI="urn:q\\"r";DNS=odd.example;DNS=two.example`,
  )
  // By the rules of Envoy's header: quotes hide separators.
  t.same(
    element.match(/(?:[^;"\\]|\\.|"(?:[^"\\]|\\.)*")+/g)!.map((part) => part.split('=', 1)[0]),
    ['Hash', 'Subject', 'URI', 'URI', 'DNS', 'DNS'],
  )
})

test('names without end are bounded, and a certificate without any is described too', async (t) => {
  const certificate = (subjectAltName: string | undefined, subject = ''): X509Certificate =>
    ({ subject, subjectAltName, fingerprint256: 'AB:CD' }) as unknown as X509Certificate
  t.same(describeCertificate(certificate(undefined)), {
    subject: '',
    commonName: null,
    uris: [],
    dnsNames: [],
    emails: [],
    addresses: [],
    fingerprint: 'abcd',
  })
  const many = Array.from({ length: 1000 }, (_, nth) => `DNS:host-${nth}.example`).join(', ')
  t.equal(describeCertificate(certificate(many)).dnsNames.length, 32)
  t.same(describeCertificate(certificate(`DNS:${'x'.repeat(1025)}, DNS:y`)).dnsNames, ['y'])
  t.equal(describeCertificate(certificate(undefined, 'OU=b\nCN=\\C3\\A9a\\,b + OU=c')).commonName, 'éa,b')
  t.equal(describeCertificate(certificate(undefined, 'OU=b\nCN=a + OU=c')).subject, 'CN=a+OU=c,OU=b')
})
