import { test } from 'tap'
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readTlsFiles } from '../../src/files/tls-files.ts'
import type { TlsFileProblem } from '../../src/files/tls-files.ts'
import { authority, mountedSecret } from '../support/certificates.ts'

test('a pair that fits is read, with the expiry of what expires first', async (t) => {
  const ca = authority(t)
  const { cert, key } = ca.issue('app', { days: 7 })
  const read = await readTlsFiles({ cert, key, ca: ca.cert })
  if (Array.isArray(read)) throw new Error(JSON.stringify(read))
  t.ok(read.cert?.equals(readFileSync(cert)))
  const inDays = (read.expiresAt! - Date.now()) / 86_400_000
  t.ok(inDays > 6.9 && inDays <= 7, `${inDays} days`)
  const chain = join(ca.directory, 'chain.crt')
  writeFileSync(chain, readFileSync(cert))
  appendFileSync(chain, readFileSync(ca.issue('intermediate', { days: 3 }).cert))
  const longer = await readTlsFiles({ cert: chain, key, ca: null })
  if (Array.isArray(longer)) throw new Error(JSON.stringify(longer))
  t.ok((longer.expiresAt! - Date.now()) / 86_400_000 < 3.1)
})

test('authorities are of use until the last of them expires', async (t) => {
  const ca = authority(t)
  const bundle = join(ca.directory, 'bundle.crt')
  for (const days of [2, 9, 5]) appendFileSync(bundle, readFileSync(ca.issue(`ca${days}`, { days }).cert))
  const read = await readTlsFiles({ cert: null, key: null, ca: bundle })
  if (Array.isArray(read)) throw new Error(JSON.stringify(read))
  const inDays = (read.trustsUntil! - Date.now()) / 86_400_000
  t.ok(inDays > 8.9 && inDays <= 9, `${inDays} days`)
  t.equal(read.expiresAt, null)
  const { cert, key } = ca.issue('app')
  t.match(await readTlsFiles({ cert, key, ca: null }), { trustsUntil: null })
})

test('all that is wrong is said, each at its file, with the remedy', async (t) => {
  const ca = authority(t)
  const [one, other] = [ca.issue('one'), ca.issue('other')]
  const garbage = join(ca.directory, 'garbage')
  writeFileSync(garbage, 'no PEM')
  const cut = join(ca.directory, 'cut.crt')
  writeFileSync(
    cut,
    readFileSync(one.cert, 'latin1')
      .replace(/[A-Z]{4}/, 'AAAA')
      .replace(/.{40}\n/, '\n'),
  )
  const encrypted = join(ca.directory, 'encrypted.key')
  execFileSync('openssl', ['ec', '-in', one.key, '-aes128', '-passout', 'pass:secret', '-out', encrypted], {
    stdio: 'ignore',
  })
  const problems = async (
    cert: string,
    key: string,
    authorities: string | null = null,
  ): Promise<TlsFileProblem[]> => {
    const read = await readTlsFiles({ cert, key, ca: authorities })
    return Array.isArray(read) ? read : []
  }
  t.same(await problems(join(ca.directory, 'none'), ca.directory), [
    {
      file: 'cert',
      message: `${join(ca.directory, 'none')} does not exist, write the path of a file in PEM (is the Secret mounted?)`,
    },
    { file: 'key', message: `${ca.directory} is a directory, write the path of a file in it` },
  ])
  t.same(await problems(garbage, garbage, garbage), [
    { file: 'cert', message: `${garbage} holds no certificate in PEM` },
    { file: 'ca', message: `${garbage} holds no certificate in PEM` },
    { file: 'key', message: `${garbage} holds no private key in PEM` },
  ])
  t.same(await problems(cut, one.key), [{ file: 'cert', message: `${cut} holds no certificate in PEM` }])
  t.same(await problems(one.key, one.cert), [
    {
      file: 'cert',
      message: `${one.key} holds no certificate in PEM, but a private key: write the other path`,
    },
    {
      file: 'key',
      message: `${one.cert} holds no private key in PEM, but a certificate: write the other path`,
    },
  ])
  const der = join(ca.directory, 'der')
  writeFileSync(der, new X509Certificate(readFileSync(one.cert)).raw)
  t.same(await problems(der, one.key), [
    { file: 'cert', message: `${der} holds no certificate in PEM, but probably DER: convert it` },
  ])
  t.same(await problems(one.cert, other.key), [
    { file: 'key', message: 'is not the key of the certificate in cert' },
  ])
  t.same(await problems(one.cert, encrypted), [
    {
      file: 'key',
      message: `${encrypted} is encrypted, and nobody is there to ask for its passphrase: decrypt it`,
    },
  ])
  t.match(await problems('/dev/zero', one.key), [{ file: 'cert', message: /is larger than 1MiB/ }])
  chmodSync(one.key, 0)
  if (process.getuid?.() !== 0)
    t.match(await problems(one.cert, one.key), [{ file: 'key', message: /permission denied/ }])
})

test('a pair is never torn, however often the link is swapped while it is read', async (t) => {
  const ca = authority(t)
  const pairs = [ca.issue('one'), ca.issue('other')]
  const mounted = mountedSecret(t, pairs[0]!)
  for (let round = 0; round < 100; round++) {
    const reading = readTlsFiles({ cert: mounted.cert, key: mounted.key, ca: null })
    // Somewhere within the read: one turn later for each round.
    for (let turns = 0; turns < round % 10; turns++) await new Promise((resolve) => setImmediate(resolve))
    mounted.swap(pairs[(round + 1) % 2]!)
    const read = await reading
    if (Array.isArray(read)) throw new Error(`round ${round}: ${JSON.stringify(read)}`)
  }
  t.pass('100 swaps')
})
