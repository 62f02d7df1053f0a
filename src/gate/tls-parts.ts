// The TLS of one listener, on both sides: certificates and trust, from files that may be renewed at any time.
// A connection keeps those of its handshake; the next one gets the current ones.

import type tls from 'node:tls'
import { TlsGate } from '../admission/tls-gate.ts'
import type { Clock } from '../core/clock.ts'
import type { Config, ListenerConfig } from '../config/schema.ts'
import { ConfigError, formatPlaced } from '../core/errors.ts'
import type { ConfigProblem, Written } from '../core/errors.ts'
import { Rotation } from '../files/rotation.ts'
import { readTlsFiles } from '../files/tls-files.ts'
import type { TlsContents, TlsFileProblem, TlsFiles } from '../files/tls-files.ts'
import { Whole } from '../log/line.ts'
import type { Log } from '../log/log.ts'
import type { GateMetrics } from '../metrics/gate-metrics.ts'
import { nodeTls } from '../core/late.ts'
import { secureNames, tlsGateOptions } from './options.ts'
import type { SecureOptions } from '../upstream/dial.ts'

export interface TlsContext {
  clock: Clock
  facts: Pick<Log, 'info' | 'warn'>
  metrics: GateMetrics
  /** Where the configuration in effect names its files; null where it is from no file. */
  readonly written: Written | null
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Side = 'listener' | 'upstream'

const DAY_MS = 24 * 3600 * 1000
/** The remaining time that is too short to notice and renew a certificate by hand. */
const SOON_MS = 14 * DAY_MS

export class TlsParts {
  /** Null: clients speak in the clear. */
  readonly gate: TlsGate | null
  /** Null: the upstream speaks in the clear. The context is replaced when its files change. */
  readonly secure: SecureOptions | null
  /** Its listener's place in the configuration; a reload may move it. */
  key: string
  /**
   * When what it uses expires, in milliseconds since 1970: of certificates by the name of the listener, or
   * that and `/upstream`; of authorities with `/clientCa` or `/ca`.
   */
  readonly ends = new Map<string, number>()
  readonly #name: string
  readonly #context: TlsContext
  readonly #rotations: Array<{ side: Side; rotation: Rotation }> = []
  #started: Promise<void> | null = null

  /**
   * `key` is the listener's place in the configuration: `listeners[0]`. Invalid files do not replace those
   * that `predecessor` has in use.
   */
  constructor(config: ListenerConfig, key: string, context: TlsContext, predecessor: TlsParts | null = null) {
    this.key = key
    this.#name = config.name
    this.#context = context
    const options = tlsGateOptions(config)
    this.gate = options === null ? null : new TlsGate(options, context.clock)
    const secure: Mutable<SecureOptions> | null =
      config.upstream.tls === null
        ? null
        : { ...secureNames(config), context: nodeTls().createSecureContext({ ca: [] }) }
    this.secure = secure
    const files = filesOf(config)
    if (files.listener !== null)
      this.#rotate('listener', files.listener, predecessor, ({ cert, key: privateKey, ca }) =>
        this.gate!.use({ cert: cert!, key: privateKey!, clientCa: ca }),
      )
    if (files.upstream !== null)
      this.#rotate(
        'upstream',
        files.upstream,
        predecessor,
        (contents) => (secure!.context = upstreamContext(contents)),
      )
  }

  /** Stops watching its files. */
  stop(): void {
    for (const { rotation } of this.#rotations) rotation.stop()
  }

  #rotate(
    side: Side,
    files: TlsFiles,
    predecessor: TlsParts | null,
    use: (contents: TlsContents) => void,
  ): void {
    const rotations = predecessor === null ? [] : predecessor.#rotations
    const before = rotations.find((one) => one.side === side)?.rotation.inUse ?? null
    const rotation = new Rotation(
      {
        files,
        clock: this.#context.clock,
        use: (contents) => {
          use(contents)
          for (const end of endsOf(contents)) this.#noteEnd(side, end)
        },
        onReloaded: (problems) => this.#onReloaded(side, problems),
      },
      before,
    )
    this.#rotations.push({ side, rotation })
  }

  /** Reads every file at the first call; rejects with a ConfigError that names each unusable file. */
  start(): Promise<void> {
    return (this.#started ??= this.#start())
  }

  async #start(): Promise<void> {
    const found = await Promise.all(
      this.#rotations.map(async ({ side, rotation }) =>
        (await rotation.start()).map((problem) => locate(this.key, side, problem)),
      ),
    )
    const problems = found.flat()
    if (problems.length > 0) throw new ConfigError('configuration', problems)
  }

  #onReloaded(side: Side, problems: readonly TlsFileProblem[]): void {
    const { metrics, facts } = this.#context
    metrics.onTlsReload(problems.length === 0 ? 'success' : 'failure')
    if (problems.length === 0) return facts.info('certificates reloaded', { listener: this.#name, side })
    const error = problems
      .map((problem) => formatPlaced(locate(this.key, side, problem), this.#context.written))
      .join('; ')
    facts.warn('certificates not reloaded: the last good ones stay in use', {
      listener: this.#name,
      side,
      error: new Whole(error),
    })
  }

  #noteEnd(side: Side, { file, at }: End): void {
    const { facts, clock } = this.#context
    const name = side === 'listener' ? this.#name : `${this.#name}/upstream`
    this.ends.set(file === 'ca' ? `${name}/${keyOf(side, file)}` : name, at)
    const warning = expiryWarning(at, clock.wall())
    if (warning === null) return
    const what = file === 'ca' ? 'last trusted authority' : 'certificate'
    facts.warn(`${what} ${warning}`, { listener: this.#name, side })
  }
}

/** All settings of a listener's TLS: if they are equal, a reload keeps the tickets that clients hold. */
export function tlsSettings({ tls: own, upstream, protocol, http }: ListenerConfig): unknown {
  return { own, upstream: upstream.tls, protocol, versions: http.versions }
}

/** The files that a listener names, for both sides; null where there is no TLS. */
function filesOf({ tls: own, upstream }: ListenerConfig): Record<Side, TlsFiles | null> {
  const { tls: secure } = upstream
  return {
    listener: own === null ? null : { cert: own.cert, key: own.key, ca: own.clientCa ?? null },
    upstream:
      secure === null ? null : { cert: secure.cert ?? null, key: secure.key ?? null, ca: secure.ca ?? null },
  }
}

function upstreamContext({ cert, key, ca }: TlsContents): tls.SecureContext {
  return nodeTls().createSecureContext({
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
  })
}

function locate(listener: string, side: Side, { file, message, isPassing }: TlsFileProblem): ConfigProblem {
  const section = side === 'listener' ? 'tls' : 'upstream.tls'
  return {
    line: 0,
    column: 0,
    path: `${listener}.${section}.${keyOf(side, file)}`,
    message,
    ...(isPassing === true ? { isPassing } : {}),
  }
}

function keyOf(side: Side, file: keyof TlsFiles): string {
  return file === 'ca' && side === 'listener' ? 'clientCa' : file
}

/** When files are of no use any more. */
interface End {
  file: 'cert' | 'ca'
  at: number
}

/**
 * Without a valid authority every client with a certificate is refused, or every dial fails, as sudden as
 * with a certificate of ours that has expired.
 */
function endsOf({ expiresAt, trustsUntil }: TlsContents): End[] {
  const ends = [
    { file: 'cert', at: expiresAt },
    { file: 'ca', at: trustsUntil },
  ] as const
  return ends.flatMap(({ file, at }) => (at === null ? [] : [{ file, at }]))
}

function expiryWarning(expiresAt: number, now: number): string | null {
  const date = new Date(expiresAt).toISOString().slice(0, 10)
  if (expiresAt <= now) return `expired on ${date}, renew it`
  return expiresAt - now < SOON_MS
    ? `expires on ${date}, in ${Math.ceil((expiresAt - now) / DAY_MS)} days: renew it`
    : null
}

/** The problems of all files of a configuration, and warnings of coming ones: for `sidegate check`. */
export async function checkTlsFiles(
  config: Config,
  now: number,
): Promise<{ problems: ConfigProblem[]; warnings: ConfigProblem[] }> {
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  for (const [index, listener] of config.listeners.entries()) {
    for (const [side, files] of Object.entries(filesOf(listener)) as Array<[Side, TlsFiles | null]>) {
      if (files === null) continue
      const read = await readTlsFiles(files)
      const place = (file: keyof TlsFiles, message: string): ConfigProblem =>
        locate(`listeners[${index}]`, side, { file, message })
      if (Array.isArray(read)) problems.push(...read.map(({ file, message }) => place(file, message)))
      else
        for (const { file, at } of endsOf(read)) {
          const warning = expiryWarning(at, now)
          if (warning !== null) warnings.push(place(file, warning))
        }
    }
  }
  return { problems, warnings }
}
