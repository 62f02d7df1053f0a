// The judgement of a released Kubernetes on an object: unknown fields, values of another type, and its
// validation beyond types, of hooks and ports. Also whether Pod Security admits a pod as `restricted`.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KubernetesObject, Loose } from './kubernetes.ts'

type Types = Record<string, Record<string, string>>

const folder = join(import.meta.dirname, 'schemas')
export const versions = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.replace('.json', ''))

const known = new Map<string, Types>(
  versions.map((version) => [
    version,
    JSON.parse(readFileSync(join(folder, `${version}.json`), 'utf8')) as Types,
  ]),
)

/** Null for a kind that is not Kubernetes's own, or that none of the schemas has. */
export function complaintsOf(version: string, object: KubernetesObject): string[] | null {
  const types = known.get(version)!
  const [, number = ''] = /v(\d)$/.exec(object.apiVersion) ?? []
  const type = `V${number}${object.kind}`
  const isOwn = /^(v\d|[a-z]+\/v\d|networking\.k8s\.io\/v\d)$/.test(object.apiVersion)
  if (!isOwn || types[type] === undefined) return null
  const complaints = judge(types, type, object, object.kind)
  return complaints.length > 0 ? complaints : podsIn(object).flatMap(handlersOf)
}

function judge(types: Types, type: string, value: unknown, path: string): string[] {
  const [, item] = /^(?:Array|Set)<(.*)>$/.exec(type) ?? []
  if (item !== undefined)
    return Array.isArray(value)
      ? value.flatMap((one, at) => judge(types, item, one, `${path}[${at}]`))
      : [`${path} is no list`]
  const [, inner] = /^{ \[key: string\]: (.*); }$/.exec(type) ?? []
  if (inner !== undefined)
    return isMap(value)
      ? Object.entries(value).flatMap(([key, one]) => judge(types, inner, one, `${path}.${key}`))
      : [`${path} is no map`]
  const fields = types[type]
  if (fields === undefined)
    return isOf(type, value) ? [] : [`${path} is no ${type}: ${JSON.stringify(value)}`]
  if (!isMap(value)) return [`${path} is no map`]
  return Object.entries(value).flatMap(([key, one]) =>
    fields[key] === undefined
      ? [`${path}.${key} is not known`]
      : judge(types, fields[key], one, `${path}.${key}`),
  )
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function isOf(type: string, value: unknown): boolean {
  if (type === 'string' || type === 'number' || type === 'boolean') return typeof value === type
  if (type === 'IntOrString') return typeof value === 'string' || Number.isInteger(value)
  return type === 'any' || type === 'Date' || type === 'object'
}

export function podsIn({ kind, spec }: KubernetesObject): Loose[] {
  if (kind === 'Pod') return [spec]
  const pod: Loose = spec?.template?.spec ?? spec?.jobTemplate?.spec?.template?.spec
  return pod === undefined ? [] : [pod]
}

const containersOf = (pod: Loose): Loose[] => [...(pod.initContainers ?? []), ...pod.containers]

/** One handler for each hook and probe, names of ports that are short and used once. */
function handlersOf(pod: Loose): string[] {
  const handlers = ['exec', 'httpGet', 'tcpSocket', 'grpc', 'sleep']
  return containersOf(pod).flatMap((container) => {
    const { lifecycle = {}, startupProbe, readinessProbe, livenessProbe, ports = [] } = container
    const all = [lifecycle.preStop, lifecycle.postStart, startupProbe, readinessProbe, livenessProbe]
    const twofold = all.filter(
      (one) => one !== undefined && handlers.filter((name) => name in one).length !== 1,
    )
    const names = (ports as Loose[]).flatMap(({ name }) => (name === undefined ? [] : [String(name)]))
    const wrong = names.filter((name, at) => name.length > 15 || names.indexOf(name) !== at)
    return [
      ...twofold.map((one) => `${container.name}: not one handler: ${JSON.stringify(one)}`),
      ...wrong.map((name) => `${container.name}: a port named ${name}`),
    ]
  })
}

/** By the rules of the profile, for the containers that are asked about. */
export function unrestricted(pod: Loose, isMeant: (name: string) => boolean = () => true): string[] {
  const { hostNetwork, hostPID, hostIPC, volumes = [], securityContext: ofPod = {} } = pod
  const kinds = [
    'configMap',
    'csi',
    'downwardAPI',
    'emptyDir',
    'ephemeral',
    'persistentVolumeClaim',
    'projected',
    'secret',
  ]
  const complaints = [
    ...(hostNetwork === true || hostPID === true || hostIPC === true ? ['namespaces of the host'] : []),
    ...(volumes as Loose[]).flatMap(({ name, ...one }) =>
      Object.keys(one).every((kind) => kinds.includes(kind)) ? [] : [`volume ${name}`],
    ),
  ]
  for (const { name, ports = [], securityContext: own = {} } of containersOf(pod)) {
    if (!isMeant(name as string)) continue
    const of = (key: string): unknown => own[key] ?? ofPod[key]
    const { allowPrivilegeEscalation, capabilities = {}, privileged } = own
    const profile = (of('seccompProfile') as Loose)?.type
    if (allowPrivilegeEscalation !== false) complaints.push(`${name}: allowPrivilegeEscalation`)
    if (privileged === true) complaints.push(`${name}: privileged`)
    if (of('runAsNonRoot') !== true) complaints.push(`${name}: runAsNonRoot`)
    if (of('runAsUser') === 0) complaints.push(`${name}: runAsUser`)
    if (!capabilities.drop?.includes('ALL')) complaints.push(`${name}: capabilities.drop`)
    if ((capabilities.add ?? []).some((one: string) => one !== 'NET_BIND_SERVICE'))
      complaints.push(`${name}: capabilities.add`)
    if (profile !== 'RuntimeDefault' && profile !== 'Localhost') complaints.push(`${name}: seccompProfile`)
    if ((ports as Loose[]).some(({ hostPort }) => hostPort > 0)) complaints.push(`${name}: hostPort`)
  }
  return complaints
}
