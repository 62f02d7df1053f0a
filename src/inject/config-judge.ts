// Remarks on a ConfigMap that is there already: a gate behind these Services would miss something in it, or
// the hooks and probes of the sidecar would not find it.

import { parseDocument } from 'yaml'
import { isLoopback, parseAddress } from '../config/address.ts'
import { MAX_DURATION_MS, parseDuration } from '../config/units.ts'
import type { Door } from './door.ts'
import type { Remark, Situation } from './judges/judge.ts'
import type { Loose } from './plain.ts'
import { sidecarOf, specOf } from './pod.ts'
import { ADMIN_PORT, GRACE_SECONDS, HEALTH_PORT, podIp, SIDECAR_NAME, sidecarContainer } from './sidecar.ts'
import { titleOf, type Resource } from './stream.ts'

/** By its text alone: it may have variables that only the pod knows. */
export function judgeConfigMap(
  configMap: Resource,
  { workload, doors, wishes }: Pick<Situation, 'workload' | 'doors' | 'wishes'>,
): Remark[] {
  const text = String(configMap.object.data?.['sidegate.yaml'] ?? '')
  const config = parsed(text)
  return [
    ...listeners(text, doors),
    ...health(config, workload),
    ...hook(config, workload),
    ...grace(config, workload),
    ...files(config, workload),
    ...variables(config, workload, wishes),
  ].map((words) => ({ code: 'config', about: titleOf(configMap), text: words }))
}

function parsed(text: string): Loose {
  try {
    return parseDocument(text, { logLevel: 'silent', merge: true }).toJS() ?? {}
  } catch {
    // `sidegate check` names the fault.
    return {}
  }
}

function listeners(config: string, doors: readonly Door[]): string[] {
  const missing = doors.filter(({ port }) => !new RegExp(String.raw`address:.*:${port}\b`).test(config))
  if (missing.length > 0)
    return missing.map(
      ({ port }) =>
        `its sidegate.yaml has no listener with address ":${port}"; add one, or the Service finds nobody there`,
    )
  const isHttp = /protocol: *["']?http\b/.test(config)
  if (!isHttp || /^[^#\n]*(trustForwarded|proxyProtocol):/m.test(config)) return []
  return [
    'its sidegate.yaml has no http.trustForwarded: behind an ingress write [private], or an application that forces HTTPS redirects for ever; where clients come directly, []',
  ]
}

/** The kubelet asks at the address of the pod. */
function health(config: Loose, workload: Resource): string[] {
  const said: unknown = config.health?.address
  const address = parseAddress(said, 'listen')
  if ('problem' in address) return []
  const port: unknown = sidecarOf(workload)?.readinessProbe?.httpGet?.port ?? HEALTH_PORT
  const { value } = address
  if (value.kind === 'tcp' && !isLoopback(value) && value.port === port) return []
  return [
    `its health.address is ${String(said)}, where neither the probes of the sidecar nor the hook of the application ask: the pod would never be ready; leave it out, or write ":${String(port)}"`,
  ]
}

/** Without the drain the hook of the application waits until everything is killed. */
function hook({ admin }: Loose, workload: Resource): string[] {
  const command: unknown = sidecarOf(workload)?.lifecycle?.preStop?.exec?.command
  const words = Array.isArray(command) ? command : []
  if (words.some((word) => ['-c', '--config', '--admin'].includes(word))) return []
  const address = parseAddress(admin?.address, 'listen')
  const isElsewhere =
    !('problem' in address) && (address.value.kind === 'unix' || address.value.port !== ADMIN_PORT)
  const hasToken = typeof admin?.tokenFile === 'string' && admin.tokenFile !== 'off'
  if (!isElsewhere && !hasToken) return []
  const key = isElsewhere ? 'admin.address' : 'admin.tokenFile'
  return [
    `its ${key} is ${String(isElsewhere ? admin.address : admin.tokenFile)}, of which the preStop hook of the sidecar knows nothing, so no drain would begin; add "-c", "/etc/sidegate/sidegate.yaml" to the command of that hook`,
  ]
}

function grace(config: Loose, workload: Resource): string[] {
  const timeout = parseDuration(config.drain?.timeout, { min: 0, max: MAX_DURATION_MS, isOffAllowed: false })
  if ('problem' in timeout) return []
  const seconds: unknown = specOf(workload).terminationGracePeriodSeconds
  const has = Math.max(typeof seconds === 'number' ? seconds : 0, GRACE_SECONDS)
  const needs = Math.ceil(timeout.value / 1000) + 10
  if (needs <= has) return []
  return [
    `its drain.timeout is ${config.drain.timeout}, and the pod is killed after ${has} s; set terminationGracePeriodSeconds of ${titleOf(workload)} to ${needs} or more, or shorten it`,
  ]
}

const fileKeys = new Set([
  'ca',
  'cert',
  'clientCa',
  'key',
  'passwordFile',
  'sentinelPasswordFile',
  'tokenFile',
])

/** Certificates, passwords and sockets come by volumes, and inject mounts none but its own. */
function files(config: Loose, workload: Resource): string[] {
  const sidecar: Loose = sidecarOf(workload) ?? sidecarContainer({ image: '', ports: [] })
  const mounts: Loose[] = Array.isArray(sidecar.volumeMounts) ? sidecar.volumeMounts : []
  const isMounted = (path: string): boolean =>
    mounts.some(({ mountPath }) => path === mountPath || path.startsWith(`${String(mountPath)}/`))
  const missing = [...new Set(pathsIn(config))].filter((path) => !isMounted(path))
  if (missing.length === 0) return []
  return [
    `its sidegate.yaml names ${missing.join(', ')}, and container ${SIDECAR_NAME} mounts no volume there; add one, with a volumeMount in that container`,
  ]
}

function pathsIn(value: unknown, key = ''): string[] {
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, inner]) => pathsIn(inner, name))
  if (typeof value !== 'string') return []
  const path = value.startsWith('unix:') ? value.slice('unix:'.length) : value
  return path.startsWith('/') && (path !== value || fileKeys.has(key)) ? [path] : []
}

// Every container has these: from its image, its pod, or the Services of its namespace.
const given = /^(HOME|HOSTNAME|PATH|\w+_SERVICE_(HOST|PORT)(_\w+)?|\w+_PORT(_\w+)?)$/

/** The gate does not start where a variable is not set. */
function variables(config: Loose, workload: Resource, { upstream }: Situation['wishes']): string[] {
  const sidecar: Loose = sidecarOf(workload)
  if (sidecar?.envFrom !== undefined) return []
  const env: Loose[] = Array.isArray(sidecar?.env) ? sidecar.env : []
  const set = new Set(env.map(({ name }) => String(name)))
  if (upstream === 'pod-ip') set.add(podIp.name)
  const missing = [...new Set(variablesIn(config))].filter((name) => !set.has(name) && !given.test(name))
  return missing.map((name) => {
    const remedy = name === podIp.name ? 'say --upstream pod-ip, or add it there' : 'add it there'
    return `its sidegate.yaml names \${${name}}, which the env of container ${SIDECAR_NAME} does not have, so the gate would not start; ${remedy}`
  })
}

function variablesIn(value: unknown): string[] {
  if (typeof value === 'object' && value !== null) return Object.values(value).flatMap(variablesIn)
  if (typeof value !== 'string') return []
  return [...value.matchAll(/\$\$\{|\$\{(\w+)\}/g)].flatMap(([, name]) => name ?? [])
}
