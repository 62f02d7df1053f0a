// Certificates and keys in their files: read together, and judged before they are used. A renewed Secret
// comes with a new key (cert-manager makes one each time), so an old certificate with a new key is refused
// here, not in a handshake.

import type { X509Certificate } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { MAX_FILE_BYTES, readBounded } from './bounded-file.ts'
import { isOwnWant } from '../core/errors.ts'
import { nodeCrypto, nodeTls } from '../core/late.ts'

/** Paths; null for files that are not configured. */
export interface TlsFiles {
  cert: string | null
  key: string | null
  ca: string | null
}

export interface TlsContents extends Validities {
  cert: Buffer | null
  key: Buffer | null
  ca: Buffer | null
  /** When the first certificate in `cert` expires, in milliseconds since 1970; null without one. */
  expiresAt: number | null
  /**
   * When the last authority in `ca` expires: a bundle may hold old ones. From then on nobody passes. Null
   * without one.
   */
  trustsUntil: number | null
}

/** Milliseconds since 1970. */
export interface Validity {
  from: number
  to: number
}

export interface Validities {
  /** Our own certificate, without its chain; null where there is none. */
  leaf: Validity | null
  /** The trusted authorities. */
  authorities: readonly Validity[]
}

export interface TlsFileProblem {
  file: keyof TlsFiles
  /** Lower case, the fact first, then the remedy. */
  message: string
  isPassing?: boolean
}

const names = ['cert', 'key', 'ca'] as const
/** A swap takes less time than a read; a file that changes all the time is read as it is. */
const TRIES = 5

/** The content of the files, or all their problems. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsContents | TlsFileProblem[]> {
  const read = await readTogether(files)
  if (Array.isArray(read)) return read
  const problems = problemsOf(read, files)
  if (problems.length > 0) return problems
  const [shown, authorities] = [read.cert, read.ca].map((pem) =>
    pem === null ? [] : certificates(pem).map(validityOf),
  ) as [Validity[], Validity[]]
  return {
    ...read,
    leaf: shown[0] ?? null,
    authorities,
    expiresAt: shown.length === 0 ? null : Math.min(...shown.map(({ to }) => to)),
    trustsUntil: authorities.length === 0 ? null : Math.max(...authorities.map(({ to }) => to)),
  }
}

function validityOf({ validFromDate, validToDate }: X509Certificate): Validity {
  return { from: validFromDate.getTime(), to: validToDate.getTime() }
}

type Contents = Record<keyof TlsFiles, Buffer | null>

/** Reads all files from one state of the directory: reads again where a link was swapped meanwhile. */
async function readTogether(files: TlsFiles): Promise<Contents | TlsFileProblem[]> {
  for (let left = TRIES; ; left--) {
    const before = await places(files)
    const contents: Contents = { cert: null, key: null, ca: null }
    const problems: TlsFileProblem[] = []
    for (const name of names) {
      if (files[name] === null) continue
      const content = await readBounded(before[name] ?? files[name]).catch((error: NodeJS.ErrnoException) =>
        unreadable(name, files[name]!, error),
      )
      if ('message' in content) problems.push(content)
      else if (content.length > MAX_FILE_BYTES)
        problems.push({
          file: name,
          message: `${files[name]} is larger than 1MiB, write the path of a file in PEM`,
        })
      else contents[name] = content
    }
    const after = await places(files)
    if (left > 1 && names.some((name) => before[name] !== after[name])) continue
    return problems.length > 0 ? problems : contents
  }
}

/** The targets of the links; null for a missing one. */
async function places(files: TlsFiles): Promise<Record<keyof TlsFiles, string | null>> {
  const [cert = null, key = null, ca = null] = await Promise.all(names.map((name) => place(files[name])))
  return { cert, key, ca }
}

async function place(path: string | null): Promise<string | null> {
  return path === null ? null : realpath(path).catch(() => null)
}

function unreadable(file: keyof TlsFiles, path: string, error: NodeJS.ErrnoException): TlsFileProblem {
  const message = whyUnreadable(path, error)
  return { file, message, ...(isOwnWant(error.code) ? { isPassing: true } : {}) }
}

function whyUnreadable(path: string, { code = '' }: NodeJS.ErrnoException): string {
  if (code === 'ENOENT')
    return `${path} does not exist, write the path of a file in PEM (is the Secret mounted?)`
  if (code === 'EISDIR') return `${path} is a directory, write the path of a file in it`
  if (code === 'EACCES' || code === 'EPERM')
    return `${path} cannot be read: permission denied, let this user read it`
  return `${path} cannot be read: ${code}`
}

function problemsOf({ cert, key, ca }: Contents, files: TlsFiles): TlsFileProblem[] {
  const problems: TlsFileProblem[] = []
  const add = (file: keyof TlsFiles, fault: string) =>
    problems.push({ file, message: `${files[file]} ${fault}` })
  if (cert !== null && !areCertificates(cert))
    add('cert', `holds no certificate in PEM${remedyFor(cert, 'PRIVATE KEY')}`)
  if (ca !== null && !areCertificates(ca))
    add('ca', `holds no certificate in PEM${remedyFor(ca, 'PRIVATE KEY')}`)
  const keyFault = key === null ? null : faultOfKey(key)
  if (keyFault !== null) add('key', keyFault)
  if (problems.length > 0 || cert === null || key === null) return problems
  if (!certificates(cert)[0]!.checkPrivateKey(nodeCrypto().createPrivateKey(key)))
    return [{ file: 'key', message: 'is not the key of the certificate in cert' }]
  return problemOfContext(cert, key)
}

/** Other errors of OpenSSL, such as a key that is too short. */
function problemOfContext(cert: Buffer, key: Buffer): TlsFileProblem[] {
  try {
    nodeTls().createSecureContext({ cert, key })
    return []
  } catch (error) {
    return [
      {
        file: 'cert',
        message: `is refused by OpenSSL: ${(error as Error & { reason?: string }).reason ?? (error as Error).message}`,
      },
    ]
  }
}

/** DER: ASN.1 begins with a sequence. */
const SEQUENCE = 0x30

/** `other` is the label of what the file next to it should hold. */
function remedyFor(content: Buffer, other: 'PRIVATE KEY' | 'CERTIFICATE'): string {
  if (content[0] === SEQUENCE) return ', but probably DER: convert it'
  return content.includes(`${other}-----`) ? `, but a ${other.toLowerCase()}: write the other path` : ''
}

function faultOfKey(pem: Buffer): string | null {
  try {
    nodeCrypto().createPrivateKey(pem)
    return null
  } catch {
    return pem.includes('ENCRYPTED')
      ? 'is encrypted, and nobody is there to ask for its passphrase: decrypt it'
      : `holds no private key in PEM${remedyFor(pem, 'CERTIFICATE')}`
  }
}

function areCertificates(pem: Buffer): boolean {
  try {
    return certificates(pem).length > 0
  } catch {
    return false
  }
}

/** Every certificate in a file, in order; throws at an unreadable one. */
function certificates(pem: Buffer): X509Certificate[] {
  const blocks =
    pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new (nodeCrypto().X509Certificate)(block))
}
