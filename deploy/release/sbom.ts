// The dependencies of the program at run time, and the packages bundled into its page, from
// package-lock.json: CycloneDX 1.5 on stdout, each with its licence and its hash. `npm sbom` leaves out
// packages that a development dependency needs as well. Run as `node deploy/release/sbom.ts STARTED`.

import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Locked {
  version: string
  license?: string
  integrity?: string
  dependencies?: Record<string, string>
  optionalDependencies?: Record<string, string>
}

const [timestamp = ''] = process.argv.slice(2)
const root = join(import.meta.dirname, '../..')
const own = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Locked & {
  name: string
  description: string
}
const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked | undefined>
}

/**
 * The place of `name` for a package at `from`, as Node looks it up; null for an optional one that is absent.
 */
function placeOf(name: string, from: string): string | null {
  for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('node_modules/') - 1))) {
    const place = `${at === '' ? '' : `${at}/`}node_modules/${name}`
    if (packages[place] !== undefined) return place
    if (at === '') return null
  }
}

const nameOf = (place: string): string => place.slice(place.lastIndexOf('node_modules/') + 13)
const refOf = (place: string): string => `${nameOf(place)}@${packages[place]!.version}`
const purlOf = (name: string, version: string): string => `pkg:npm/${name.replace('@', '%40')}@${version}`
const wanted = ({ dependencies = {}, optionalDependencies = {} }: Locked, from: string): string[] =>
  Object.keys({ ...dependencies, ...optionalDependencies }).flatMap((name) => placeOf(name, from) ?? [])

/** The packages that the sources of the page import: dist/page contains them. */
function bundled(): string[] {
  const sources = globSync('page/**/*.{ts,tsx}', { cwd: root }).filter((file) => !file.endsWith('build.ts'))
  const text = sources.map((file) => readFileSync(join(root, file), 'utf8')).join('\n')
  const names = [...text.matchAll(/ from '(@[^/']+\/[^/']+|[a-z][^/'.:]*)(?:\/[^']*)?'/g)].map(
    ([, name = '']) => name,
  )
  return [...new Set(names)].flatMap((name) => placeOf(name, '') ?? [])
}

const direct = (): string[] => [...wanted(own, ''), ...bundled()].sort()

/** The packages reached from the root, each once. */
function reached(): string[] {
  const found = new Set<string>()
  const visit = (place: string): void => {
    if (found.has(place)) return
    found.add(place)
    wanted(packages[place]!, place).forEach(visit)
  }
  direct().forEach(visit)
  return [...found].sort()
}

function component(place: string): object {
  const { version, license, integrity } = packages[place]!
  const name = nameOf(place)
  const [, algorithm, base64 = ''] = /^sha(512|1|256)-(.+)$/.exec(integrity ?? '') ?? []
  return {
    type: 'library',
    'bom-ref': refOf(place),
    name,
    version,
    purl: purlOf(name, version),
    scope: 'required',
    ...(algorithm === undefined
      ? {}
      : { hashes: [{ alg: `SHA-${algorithm}`, content: Buffer.from(base64, 'base64').toString('hex') }] }),
    ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
  }
}

const places = reached()
const ref = `${own.name}@${own.version}`
const bom = {
  $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  version: 1,
  metadata: {
    timestamp,
    component: {
      type: 'application',
      'bom-ref': ref,
      name: own.name,
      version: own.version,
      description: own.description,
      purl: purlOf(own.name, own.version),
      licenses: [{ expression: own.license }],
    },
  },
  components: places.map(component),
  dependencies: [
    { ref, dependsOn: direct().map(refOf) },
    ...places.map((place) => ({ ref: refOf(place), dependsOn: wanted(packages[place]!, place).map(refOf) })),
  ],
}

process.stdout.write(`${JSON.stringify(bom, null, 2)}\n`)
