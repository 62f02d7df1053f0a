// Certificates for tests, made by openssl in the directory of the test: an authority, its servers and clients, and strangers.

import type { Test } from 'tap'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { temporary } from './tools.ts'

export interface Signed {
  /** Paths. */
  cert: string
  key: string
}

export interface Issued {
  host?: string
  days?: number
  /** The times at which it becomes valid and invalid; instead of `days`. */
  from?: Date
  to?: Date
  /** More alternative names, as openssl has them: `URI:spiffe://a/b`. */
  names?: readonly string[]
  /** Its subject, as openssl has it; `/CN=` and the name by default. */
  subject?: string
}

export interface Authority extends Signed {
  directory: string
  /** A certificate for `localhost` and 127.0.0.1, or another name. */
  issue(name: string, options?: Issued): Signed
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** `openssl x509` takes only days, and an old openssl no other unit. */
function signFor(
  directory: string,
  ca: Signed,
  {
    request,
    leafCert,
    extensions,
    from,
    to,
  }: { request: string; leafCert: string; extensions: string; from: Date; to: Date },
): void {
  const [config, index] = [join(directory, 'ca.conf'), join(directory, 'index.txt')]
  writeFileSync(index, '')
  writeFileSync(
    config,
    `[ca]\ndefault_ca=it\n[it]\ndatabase=${index}\nnew_certs_dir=${directory}\nrand_serial=yes\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n`,
  )
  const [start, end] = [from, to].map((date) => date.toISOString().replaceAll(/[-:T]|\.\d+/g, '')) as [
    string,
    string,
  ]
  openssl(
    'ca',
    '-batch',
    '-notext',
    '-config',
    config,
    '-in',
    request,
    '-cert',
    ca.cert,
    '-keyfile',
    ca.key,
    '-startdate',
    start,
    '-enddate',
    end,
    '-extfile',
    extensions,
    '-out',
    leafCert,
  )
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** An authority of its own for each call. */
export function authority(t: Test, name = 'ca'): Authority {
  return authorityIn(temporary(t), name)
}

function authorityIn(directory: string, name: string): Authority {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)]
  openssl('req', '-x509', ...newKey, '-keyout', key, '-out', cert, '-days', '30', '-subj', `/CN=${name}`)
  return {
    directory,
    cert,
    key,
    issue(leaf, { host = 'localhost', days = 30, from, to, names = [], subject = `/CN=${leaf}` } = {}) {
      const [leafCert, leafKey, request, extensions] = ['crt', 'key', 'csr', 'ext'].map((ending) =>
        join(directory, `${leaf}.${ending}`),
      ) as [string, string, string, string]
      openssl('req', ...newKey, '-keyout', leafKey, '-out', request, '-utf8', '-subj', subject)
      // One line for each, so that a name may hold commas.
      const lines = [`DNS:${host}`, 'IP:127.0.0.1', ...names].map((name, nth) =>
        name.replace(':', `.${nth} = `),
      )
      writeFileSync(extensions, `subjectAltName=@names\n[names]\n${lines.join('\n')}\n`)
      if (from === undefined)
        openssl(
          'x509',
          '-req',
          '-in',
          request,
          '-CA',
          cert,
          '-CAkey',
          key,
          '-CAcreateserial',
          '-days',
          String(days),
          '-out',
          leafCert,
          '-extfile',
          extensions,
        )
      else
        signFor(
          directory,
          { cert, key },
          { request, leafCert, extensions, from, to: to ?? new Date(from.getTime() + days * 86_400_000) },
        )
      return { cert: leafCert, key: leafKey }
    },
  }
}

let ofProcess: Readonly<{ ca: string } & Signed> | null = null

/**
 * A server's certificate and its authority, for tests that need any pair: made once for a process. Each run of openssl holds up the event loop,
 * and with it the peers of tests that run beside it.
 */
export function someServer(): Readonly<{ ca: string } & Signed> {
  if (ofProcess !== null) return ofProcess
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  const ca = authorityIn(directory, 'ca')
  return (ofProcess = { ca: ca.cert, ...ca.issue('server') })
}

export interface Mounted extends Signed {
  directory: string
  /** Renews the files as the kubelet does: a new directory, and one rename of the link `..data` to it. */
  swap(next: Signed): void
}

/** A Secret as Kubernetes mounts it: `tls.crt` and `tls.key` are links into `..data`, which is a link itself. */
export function mountedSecret(t: Test, first: Signed): Mounted {
  const directory = temporary(t)
  let version = 0
  const swap = ({ cert, key }: Signed): void => {
    const old = `..v${version}`
    const name = `..v${++version}`
    mkdirSync(join(directory, name))
    writeFileSync(join(directory, name, 'tls.crt'), readFileSync(cert))
    writeFileSync(join(directory, name, 'tls.key'), readFileSync(key))
    symlinkSync(name, join(directory, '..data_tmp'))
    renameSync(join(directory, '..data_tmp'), join(directory, '..data'))
    rmSync(join(directory, old), { recursive: true, force: true })
  }
  swap(first)
  for (const file of ['tls.crt', 'tls.key']) symlinkSync(join('..data', file), join(directory, file))
  return { directory, cert: join(directory, 'tls.crt'), key: join(directory, 'tls.key'), swap }
}
