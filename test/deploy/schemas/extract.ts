// Writes what a released Kubernetes knows of the kinds that Sidegate writes or changes: the fields of each of their types, out of
// the models that @kubernetes/client-node generates from the API's own description. For another version:
//
//     npm install --no-save --prefix /tmp/client @kubernetes/client-node@2.0.1
//     node test/deploy/schemas/extract.ts /tmp/client/node_modules/@kubernetes/client-node

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

interface Model {
  attributeTypeMap: { baseName: string; type: string }[]
}

const kinds = [
  ...[
    'V1Deployment',
    'V1StatefulSet',
    'V1DaemonSet',
    'V1ReplicaSet',
    'V1Job',
    'V1CronJob',
    'V1Pod',
    'V1Service',
  ],
  ...[
    'V1ConfigMap',
    'V1ServiceAccount',
    'V1Namespace',
    'V1NetworkPolicy',
    'V1Ingress',
    'V1PodDisruptionBudget',
  ],
  'V2HorizontalPodAutoscaler',
]
const models = join(process.argv[2] ?? '', 'dist/gen/models')
const version = /version: (?:release-|v)(\d+\.\d+)/.exec(readFileSync(join(models, 'V1Pod.js'), 'utf8'))?.[1]
if (version === undefined) throw new Error(`${models} says no version of Kubernetes`)

const found = new Map<string, Record<string, string>>()
async function visit(name: string): Promise<void> {
  if (found.has(name) || !/V\d/.test(name)) return
  const module = (await import(pathToFileURL(join(models, `${name}.js`)).href)) as Record<string, Model>
  const fields = module[name]?.attributeTypeMap ?? []
  found.set(name, Object.fromEntries(fields.map(({ baseName, type }) => [baseName, type])))
  for (const { type } of fields)
    for (const [inner] of type.matchAll(/\b[A-Z][a-z]*V\d\w+|\bV\d\w+/g)) await visit(inner)
}
for (const kind of kinds) await visit(kind)

const lines = [...found]
  .sort(([one], [other]) => (one < other ? -1 : 1))
  .map(([name, fields]) => `${JSON.stringify(name)}: ${JSON.stringify(fields)}`)
writeFileSync(join(import.meta.dirname, `${version}.json`), `{\n${lines.join(',\n')}\n}\n`)
