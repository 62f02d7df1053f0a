// `sidegate inject` as a function of text: manifests in, the same manifests with the sidecar out, and what was changed.
// It asks no cluster. Running it on its own result changes nothing.

import { stringify } from 'yaml'
import { ConfigError } from '../core/errors.ts'
import { plain, readManifest, resources, titleOf, writePart, type Part, type Resource } from './manifest.ts'
import { leadsTo, repoint, servicesOf } from './service.ts'
import { smallestConfig } from './sidecar.ts'
import { addSidecar, fail, place, warningsOf, workloadKinds, type Placement, type PlacementOptions } from './workload.ts'

export interface InjectOptions extends PlacementOptions {
  image: string
  /** One that exists elsewhere; null writes one for each workload, named after it. */
  configMap: string | null
  protocol: 'http' | 'tcp'
  /** The name of the one workload that is meant; null: all that serve a port. */
  only: string | null
  fileName: string
}

export interface Injected {
  text: string
  /** For the operator: what was changed, and what is left to do. */
  notes: string[]
}

/** Throws a ConfigError that names the place and the remedy. */
export function inject(text: string, options: InjectOptions): Injected {
  const parts = readManifest(text, options.fileName)
  try {
    return injectParts(parts, options)
  } catch (error) {
    // The functions below know the place in the file, not its name.
    throw error instanceof ConfigError && error.file === '' ? new ConfigError(options.fileName, error.problems) : error
  }
}

function injectParts(parts: readonly Part[], options: InjectOptions): Injected {
  const all = resources(parts)
  const workloads = all.filter(({ kind, name }) => workloadKinds.includes(kind) && (options.only === null || options.only === name))
  const placed = workloads.map((workload) => ({ workload, placement: place(workload, options) }))
  if (placed.every(({ placement }) => placement === null)) throw nothingToDo(all, workloads, options)
  const written = new Map<Part, string[]>()
  const notes: string[] = []
  for (const { workload, placement } of placed) {
    if (placement === null) notes.push(`${titleOf(workload)}: no container that the gate could be for, left as it is`)
    else notes.push(...injectOne(workload, placement, { all, options, written }))
  }
  return { text: parts.map((part) => [...(written.get(part) ?? []), withMark(part, written)].join('')).join(''), notes }
}

interface Context {
  all: readonly Resource[]
  options: InjectOptions
  /** Documents that go before a part. */
  written: Map<Part, string[]>
}

function injectOne(workload: Resource, placement: Placement, { all, options, written }: Context): string[] {
  const title = titleOf(workload)
  const configMap = options.configMap ?? `${workload.name}-sidegate`
  const changes = addSidecar(workload, placement, { image: options.image, configMap })
  const notes = changes.map((change) => `${title}: ${change}`)
  if (changes.length === 0) notes.push(`${title}: has the sidecar already`)
  notes.push(...warningsOf(workload, placement).map((warning) => `${title}: ${warning}`))

  const services = servicesOf(workload, all.filter(({ kind }) => kind === 'Service'))
  notes.push(...services.flatMap((service) => repoint(service, workload, placement)))
  if (!services.some((service) => leadsTo(service, placement))) {
    notes.push(`${title}: no Service in this file sends to its port ${placement.appPort}; set targetPort: ${placement.port} in the one that does`)
  }
  notes.push(...provideConfig(workload, placement, { configMap, all, options, written }))
  return notes
}

function provideConfig(workload: Resource, placement: Placement, { configMap, all, options, written }: Context & { configMap: string }): string[] {
  const existing = all.find(({ kind, name, namespace }) => kind === 'ConfigMap' && name === configMap && namespace === workload.namespace)
  if (existing !== undefined) {
    const data = (plain(existing.part, existing.node.get('data')) ?? {}) as Record<string, unknown>
    return problemsOf(String(data['sidegate.yaml'] ?? ''), placement.port).map((problem) => `${titleOf(existing)}: its sidegate.yaml ${problem}`)
  }
  if (options.configMap !== null) return [`${titleOf(workload)}: reads ConfigMap/${configMap}, key sidegate.yaml, which must exist in its namespace`]
  const document = configMapOf(workload, placement, { configMap, options })
  const others = [...written.values()].flat()
  if (others.includes(document)) return []
  // Its first three lines and its metadata say which one it is.
  const identity = document.slice(0, document.indexOf('data:'))
  if (others.some((other) => other.startsWith(identity))) fail(workload, `shares its name, and so ConfigMap/${configMap}, with another workload here; write one for both and name it with --config-map`)
  written.set(workload.part, [...(written.get(workload.part) ?? []), document])
  return [`ConfigMap/${configMap}: written; sidegate.yaml in it holds a listener with address ":${placement.port}"`]
}

/** By its words alone: it may have variables that only the pod knows. */
function problemsOf(config: string, port: number): string[] {
  if (!new RegExp(String.raw`address:.*:${port}\b`).test(config)) return [`has no listener with address ":${port}"; add one, or the Service finds nobody there`]
  if (!/protocol: *["']?http\b/.test(config) || /^[^#\n]*(trustForwarded|proxyProtocol):/m.test(config)) return []
  return ['has no http.trustForwarded: behind an ingress write [private], or an application that forces HTTPS redirects for ever; where clients come directly, []']
}

function configMapOf({ namespace }: Resource, { port, appPort }: Placement, { configMap, options }: { configMap: string; options: InjectOptions }): string {
  const metadata = { name: configMap, ...(namespace === null ? {} : { namespace }) }
  const data = { 'sidegate.yaml': smallestConfig({ port, appPort, protocol: options.protocol }) }
  return `---\n${stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata, data }, { lineWidth: 0 })}`
}

/** A document that begins the stream may lack its `---`; with another one before it, it needs it. */
function withMark(part: Part, written: ReadonlyMap<Part, string[]>): string {
  const text = writePart(part)
  return written.has(part) && !text.startsWith('---') ? `---\n${text}` : text
}

function nothingToDo(all: readonly Resource[], workloads: readonly Resource[], { only, container, fileName }: InjectOptions): ConfigError {
  const found = all.length === 0 ? 'no object of Kubernetes' : all.map(titleOf).slice(0, 10).join(', ')
  const wanted = only === null ? `no ${workloadKinds.slice(0, -1).join(', ')} or Pod` : `no workload named ${only}`
  const noPort = 'no container declares a TCP port; say which one the application listens on with --port 8080:17080'
  const noContainer = `no container named ${container} that declares a TCP port; see --container and --port`
  const message = workloads.length === 0 ? `holds ${wanted} (but ${found})` : `${workloads.map(titleOf).join(', ')}: ${container === null ? noPort : noContainer}`
  return new ConfigError(fileName, [{ line: 0, column: 0, path: '', message }])
}
