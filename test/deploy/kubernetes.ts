// Judges Kubernetes objects as an API server in strict mode would: by the schemas of the API, and by its
// types, which know every field. The compiler is the strict check: an unknown field in an object literal is
// an error to it.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { plainEnv } from '../support/plain-env.ts'
import { root } from './tools.ts'

// eslint-disable-next-line typescript/no-explicit-any -- what YAML holds
export type Loose = any

export interface KubernetesObject {
  apiVersion: string
  kind: string
  metadata: { name: string; namespace?: string; labels?: Record<string, string> }
  [key: string]: Loose
}

/** The objects of a stream, the empty documents left out. */
export function objectsOf(yaml: string): KubernetesObject[] {
  return parseAllDocuments(yaml)
    .map((document) => {
      if (document.errors.length > 0) throw document.errors[0]
      return document.toJS() as KubernetesObject | null
    })
    .filter((object) => object !== null)
}

/** Everything that is wrong with them; empty if nothing is. */
export async function problemsOf(objects: readonly KubernetesObject[]): Promise<string[]> {
  const wrong = await Promise.all(objects.map(violations))
  return [...wrong.flat(), ...unknownFields(objects)]
}

// The program itself: its launcher is a script of Node, and one more start of a process.
const compiler = join(root, `node_modules/@typescript/typescript-${process.platform}-${process.arch}/lib/tsc`)

const title = ({ kind, metadata }: KubernetesObject): string => `${kind}/${metadata.name}`

function moduleOf({ apiVersion, kind }: KubernetesObject): string {
  if (apiVersion.startsWith('gateway.networking.k8s.io/'))
    return `@kubernetes-models/gateway-api/${apiVersion}/${kind}`
  return apiVersion.startsWith('monitoring.coreos.com/')
    ? `@kubernetes-models/prometheus-operator/${apiVersion}/${kind}`
    : `kubernetes-models/${apiVersion}/${kind}`
}

async function violations(object: KubernetesObject): Promise<string[]> {
  try {
    const models = (await import(moduleOf(object))) as Record<
      string,
      new (data: object) => { validate(): void }
    >
    const Model = models[object.kind]
    if (Model === undefined) return [`${title(object)}: no such kind in ${object.apiVersion}`]
    new Model(object).validate()
    return []
  } catch (error) {
    return [`${title(object)}: ${error instanceof Error ? error.message : String(error)}`]
  }
}

function unknownFields(objects: readonly KubernetesObject[]): string[] {
  const parent = join(root, 'node_modules/.cache/sidegate')
  mkdirSync(parent, { recursive: true })
  const directory = mkdtempSync(join(parent, 'types-'))
  try {
    // One line each, so that the line of an error is the object.
    const lines = objects.map(
      (object) =>
        `import('${moduleOf(object)}'); { const it: import('${moduleOf(object)}').I${object.kind} = ${JSON.stringify(object)} }`,
    )
    writeFileSync(join(directory, 'objects.ts'), lines.join('\n'))
    writeFileSync(
      join(directory, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: { strict: true, module: 'nodenext', noEmit: true, skipLibCheck: true, types: [] },
        files: ['objects.ts'],
      }),
    )
    const { status, stdout, error } = spawnSync(compiler, ['-p', directory, '--pretty', 'false'], {
      encoding: 'utf8',
      env: plainEnv(),
    })
    if (status === 0) return []
    const errors = [...stdout.matchAll(/objects\.ts\((\d+),\d+\): error TS\d+: ([^\n]*)/g)]
    if (errors.length === 0) throw error ?? new Error(`the compiler failed: ${stdout}`)
    return errors.map(([, line, message]) => `${title(objects[Number(line) - 1]!)}: ${message}`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
