// A release, cut into a folder: the npm package and the charts, their contents, their provenance, checksums
// and a signature. deploy/image/build.sh builds and tries the image.

import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { plainEnv } from '../support/plain-env.ts'
import { needs, temporary } from '../support/tools.ts'

const root = join(import.meta.dirname, '../..')
const script = join(root, 'deploy/release/build.sh')
const { version, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  version: string
  dependencies: Record<string, string>
}

interface Statement {
  subject: Array<{ name: string; digest: { sha256: string } }>
  predicateType: string
  predicate: { buildDefinition: { externalParameters: { version: string } } }
}

test(
  'a release has its packages, their parts, their origin, checksums and a signature',
  needs('tar', 'npm', 'openssl'),
  async (t) => {
    const [out, keys] = [temporary(t), temporary(t)]
    const key = join(keys, 'key.pem')
    execFileSync('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key])
    const ran = spawnSync('bash', [script, out], {
      encoding: 'utf8',
      env: { ...plainEnv(), WITHOUT_IMAGE: '1', SIGNING_KEY: key },
    })
    t.equal(ran.status, 0, ran.stdout + ran.stderr)
    const packages = [
      `sidegate-${version}.tgz`,
      `sidegate-chart-${version}.tgz`,
      `sidegate-sidecar-chart-${version}.tgz`,
    ]
    const told = [`sidegate-${version}.cdx.json`, `sidegate-${version}.provenance.json`]
    t.same(
      readdirSync(out).sort(),
      ['SHA256SUMS', 'SHA256SUMS.sig', 'SIGNING-KEY.pub', ...packages, ...told].sort(),
    )
    const read = (name: string): string => readFileSync(join(out, name), 'utf8')
    const sha256 = (name: string): string =>
      createHash('sha256')
        .update(readFileSync(join(out, name)))
        .digest('hex')
    for (const name of [...packages, ...told]) t.match(read('SHA256SUMS'), `${sha256(name)}  ${name}\n`)

    const sbom = JSON.parse(read(told[0]!)) as {
      bomFormat: string
      metadata: { component: { name: string; version: string } }
      components: Array<{
        'bom-ref': string
        name: string
        version: string
        hashes: Array<{ content: string }>
      }>
      dependencies: Array<{ dependsOn: string[] }>
    }
    const known = new Set(sbom.components.map((one) => one['bom-ref']))
    t.match(sbom, { bomFormat: 'CycloneDX', metadata: { component: { name: 'sidegate', version } } })
    for (const [name, wanted] of Object.entries(dependencies))
      t.ok(
        sbom.components.some((one) => one.name === name && one.version === wanted),
        `${name} ${wanted} is in it`,
      )
    t.same(
      sbom.dependencies.flatMap(({ dependsOn }) => dependsOn).filter((ref) => !known.has(ref)),
      [],
      'whatever is depended on is in it',
    )
    t.ok(sbom.components.every(({ hashes: [hash] }) => /^[0-9a-f]{128}$/.test(hash?.content ?? '')))
    t.ok(
      known.has(sbom.components.find(({ name }) => name === 'preact')?.['bom-ref'] ?? ''),
      'the page is made of it',
    )
    t.notOk(sbom.components.some(({ name }) => name === 'typescript' || name === 'tap'))

    const statement = JSON.parse(read(told[1]!)) as Statement
    t.match(statement, {
      predicateType: 'https://slsa.dev/provenance/v1',
      predicate: { buildDefinition: { externalParameters: { version } } },
    })
    for (const name of packages)
      t.equal(statement.subject.find((one) => one.name === name)?.digest.sha256, sha256(name), name)

    const chart = execFileSync('tar', ['-xzOf', join(out, packages[1]!), 'sidegate/Chart.yaml'], {
      encoding: 'utf8',
    })
    t.match(parse(chart), { name: 'sidegate', version, appVersion: version })
    t.match(
      execFileSync('tar', ['-tzf', join(out, packages[1]!)], { encoding: 'utf8' }),
      'sidegate/charts/sidegate-sidecar',
    )

    const again = spawnSync('bash', [script, out], { encoding: 'utf8', env: plainEnv() })
    t.match([again.status, again.stderr], [1, /is not empty/], 'nothing is written over')
  },
)

test(
  'who checks a release sees that a file was changed, and that a signature is of another key',
  needs('openssl'),
  async (t) => {
    // As docs/releases.md has it.
    const directory = temporary(t)
    const text = readFileSync(join(root, 'docs/releases.md'), 'utf8')
    const [, commands = ''] = /```\n(sha256sum --check[\s\S]*?)```/.exec(text) ?? []
    const sh = (line: string): number | null => spawnSync('bash', ['-ec', line], { cwd: directory }).status
    sh(`for key in mine other; do openssl genpkey -algorithm ed25519 -out $key.pem; done
echo program >file; sha256sum file >SHA256SUMS; openssl pkey -in mine.pem -pubout -out SIGNING-KEY.pub
openssl pkeyutl -sign -rawin -inkey mine.pem -in SHA256SUMS -out SHA256SUMS.sig`)
    t.equal(sh(commands), 0)
    sh('echo other >file')
    t.not(sh(commands), 0)
    sh('echo program >file; openssl pkey -in other.pem -pubout -out SIGNING-KEY.pub')
    t.not(sh(commands), 0)
  },
)

test('the workflow of a forge calls the script, and pushes what it made', async (t) => {
  const text = readFileSync(join(root, '.github/workflows/release.yaml'), 'utf8')
  const { on, jobs } = parse(text) as { on: unknown; jobs: { release: { steps: Array<{ run?: string }> } } }
  t.same(on, { push: { tags: ['v*'] } })
  const runs = jobs.release.steps.map(({ run = '' }) => run).join('\n')
  for (const part of [
    'deploy/release/build.sh',
    '.ci/run',
    'helm push',
    'buildah manifest push --all',
    'gh release create',
  ])
    t.ok(runs.includes(part), part)
  for (const { run } of jobs.release.steps)
    if (run !== undefined) t.equal(spawnSync('bash', ['-n', '-c', run]).status, 0, run)
})
