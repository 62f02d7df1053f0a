// The provenance of a release's files: an in-toto statement with SLSA's predicate
// (slsa.dev/spec/v1.0/provenance) on stdout. Run as `node deploy/release/provenance.ts FOLDER STARTED
// [BASE@DIGEST...]`. The statement proves nothing by itself: its signature does.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder = '', startedOn = '', ...bases] = process.argv.slice(2)
const root = join(import.meta.dirname, '../..')
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  name: string
  version: string
}

const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex')
const builder = process.env['GITHUB_WORKFLOW_REF'] ?? 'deploy/release/build.sh'

function revision(): string | null {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
  } catch {
    // An archive of the sources is no checkout.
    return null
  }
}

function baseOf(pinned: string): object {
  const [image = '', digest = ''] = pinned.split('@')
  return { uri: `docker://${image}`, digest: { sha256: digest.replace('sha256:', '') } }
}

const commit = revision()
const statement = {
  _type: 'https://in-toto.io/Statement/v1',
  subject: readdirSync(folder)
    .sort()
    .map((file) => ({ name: file, digest: { sha256: sha256(join(folder, file)) } })),
  predicateType: 'https://slsa.dev/provenance/v1',
  predicate: {
    buildDefinition: {
      buildType: 'https://github.com/sidegate/sidegate/blob/main/deploy/release/build.sh',
      externalParameters: { name, version },
      internalParameters: { node: process.version, platform: `${process.platform}/${process.arch}` },
      resolvedDependencies: [
        ...(commit === null
          ? []
          : [{ uri: 'git+https://github.com/sidegate/sidegate', digest: { gitCommit: commit } }]),
        { uri: 'package-lock.json', digest: { sha256: sha256(join(root, 'package-lock.json')) } },
        ...bases.map(baseOf),
      ],
    },
    runDetails: {
      builder: { id: builder },
      metadata: { startedOn, finishedOn: new Date().toISOString() },
    },
  },
}

process.stdout.write(`${JSON.stringify(statement, null, 2)}\n`)
