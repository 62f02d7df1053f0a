// The upstream: the legacy service of a listener, as its addresses and the choice among them.
//
//     addresses as written --literal, localhost, unix----------> targets --choose--> a place at one of them
//                          --name--> ResolvedName <-- Names (DNS) --> |
//                                                                   +-- HealthCheck: healthy | unhealthy
//     an address fails its checks: it gets no new connections, and an Eviction ends the open ones
//     the answers of its name lack an address: it gets no new connections, and Removed decides about the open ones
//
// A target counts its taken places. Seekers that find no free place wait in one queue, first come, first
// served.

import { LocalCount } from '../core/cells.ts'
import type { Clock, Sweep } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import { formatTarget } from './dial.ts'
import type { Dial, SocketDialler, Target } from './dial.ts'
import { Eviction } from './eviction.ts'
import { crewOf, followDials } from './crew.ts'
import type { SharedFindings } from './findings.ts'
import { HealthCheck } from './health-check.ts'
import { asLiteral } from './literal.ts'
import { Lineages } from './lineage.ts'
import type { Kin, Lineage } from './lineage.ts'
import { Looks } from './looks.ts'
import type { Names } from './names.ts'
import type { IdleEnds } from './idle-ends.ts'
import type { UpstreamOptions } from './options.ts'
import { EndpointPool } from './pool.ts'
import type { Home, Waiting } from './queue.ts'
import { Removed } from './removed.ts'
import { ResolvedName } from './resolved-name.ts'
import type { Streams, StreamsMaker } from './streams.ts'
import { dialKept, dialProbe, hostOf } from './target-dial.ts'
import { isBetter, UpstreamTarget } from './target.ts'
import { missingOf, problemOf, wantedOf } from './sources.ts'
import { viewUpstream } from './upstream-view.ts'
import type { UpstreamView } from './upstream-view.ts'

/** The events for the log and the metrics. */
export interface UpstreamObserver {
  onHealthCheck(isPassed: boolean): void
  onTurned(target: UpstreamTarget): void
  /** The answer for a name changed (null), or its resolution fails; one call for each change. */
  onResolved(name: string, problem: string | null): void
}

export interface UpstreamContext {
  clock: Clock
  sweep: Sweep
  random: () => number
  names: Names
  /** All open connections, of other listeners too. */
  connections: Iterable<Connection>
  observer: UpstreamObserver
  /** Makes the sessions to a target; without it targets speak HTTP/1.1. */
  makeStreams?: StreamsMaker
  /** Shared with the upstreams that reloads make of the same name. */
  lineages?: Lineages
  name?: string
  /** Findings shared with other threads; absent if there is one thread. */
  findings?: SharedFindings
  /** Shared with other upstreams, so that pools of the same address share what they learn. */
  idleEnds?: IdleEnds
}

export class Upstream implements Home, Kin {
  readonly options: UpstreamOptions
  readonly context: UpstreamContext
  readonly #sources: ResolvedName[] = []
  readonly #fixed: ReadonlyMap<string, Target>
  #targets: UpstreamTarget[] = []
  readonly #removed: Removed
  readonly #looks: Looks
  readonly #lineages: Lineages
  readonly #lineage: Lineage
  /** The index at which the next choice begins. */
  #turn = 0

  constructor(options: UpstreamOptions, context: UpstreamContext) {
    this.options = options
    this.context = context
    const { clock, connections } = context
    this.#lineages = context.lineages ?? new Lineages({ clock })
    this.#lineage = this.#lineages.join(context.name ?? '', options.maxConnections, this)
    const dial = (target: UpstreamTarget, dialler: SocketDialler): Dial =>
      dialProbe(options, target, context, dialler)
    this.#looks = new Looks({ clock, dial })
    this.#removed = new Removed({ onRemoved: options.onRemoved, clock, connections, dial })
    const fixed = new Map<string, Target>()
    for (const target of options.addresses) {
      const literal = asLiteral(target)
      if (literal !== null) fixed.set(formatTarget(literal), literal)
      else if ('host' in target) this.#addSource(target.host, target.port)
    }
    this.#fixed = fixed
    for (const target of fixed.values()) this.#targets.push(this.#makeTarget(target, null))
  }

  #addSource(name: string, port: number): void {
    let reported: string | null = null
    const { clock, names, observer } = this.context
    const onChanged = (): void => {
      const problem = problemOf(source)
      if (problem !== reported) observer.onResolved(name, (reported = problem))
      this.#onResolved()
    }
    const source: ResolvedName = new ResolvedName(name, port, {
      clock,
      names,
      staleForMs: this.options.staleForMs,
      onChanged,
    })
    this.#sources.push(source)
  }

  /** Starts name resolution and health checks, and waits for neither. */
  start(): void {
    for (const source of this.#sources) source.start()
    for (const target of this.#targets) this.#check(target)
  }

  /** Called once no connection is left. */
  stop(): void {
    for (const source of this.#sources) source.stop()
    for (const target of this.#targets) target.retire()
    this.#removed.stop()
    this.#looks.stop()
    this.#lineages.leave(this.context.name ?? '', this)
  }

  /** The bound of places changes, for the upstreams of before a reload too. */
  settle(maxConnections: number): void {
    this.#lineage.settle(maxConnections)
  }

  get view(): UpstreamView {
    return viewUpstream(this.options, {
      sources: this.#sources,
      targets: this.all,
      former: this.former,
      alike: (name) => this.#lineage.at(name),
      queued: this.queued,
    })
  }

  get all(): UpstreamTarget[] {
    return [...this.#targets, ...this.#removed]
  }

  get targets(): readonly UpstreamTarget[] {
    return this.#targets
  }

  /** Targets whose name no longer has them, with open connections. */
  get removed(): readonly UpstreamTarget[] {
    return [...this.#removed]
  }

  /** Targets of before a reload that the configuration has no more, with open connections. */
  get former(): readonly UpstreamTarget[] {
    return this.#lineage.former(this)
  }

  get sources(): readonly ResolvedName[] {
    return this.#sources
  }

  /** Also those that wait since before a reload. */
  get queued(): number {
    return this.#lineage.queue.size
  }

  get maxConnections(): number {
    return this.#lineage.maxConnections
  }

  /**
   * The target for the next connection, none of `tried`. full: no healthy target has room. unresolved: a name
   * has no answer yet. A Close: there is no target.
   */
  choose(tried: readonly UpstreamTarget[]): UpstreamTarget | 'full' | 'unresolved' | Close {
    const { balance } = this.options
    const { maxConnections } = this
    const targets = this.#targets
    const now = this.context.clock.now()
    let best: UpstreamTarget | null = null
    let due: UpstreamTarget | null = null
    let isFull = false
    for (let step = 0; step < targets.length; step++) {
      const target = targets[(this.#turn + step) % targets.length]!
      if (target.isUnhealthy || tried.includes(target)) continue
      if (target.isDue(now)) due = target
      if (target.held >= maxConnections) isFull = true
      else if (best === null || isBetter(target, best, balance)) best = target
    }
    if (due !== null && best !== null && due !== best) this.#looks.begin(due)
    if (best !== null) {
      this.#turn = (targets.indexOf(best) + 1) % targets.length
      return best
    }
    return isFull ? 'full' : this.#none()
  }

  #none(): 'unresolved' | Close {
    if (this.#targets.length > 0)
      return makeClose('no_upstream', 'upstream', 'connect', 'no address is healthy (upstream.healthCheck)')
    if (this.#sources.some(({ isUnknown }) => isUnknown)) return 'unresolved'
    const absent = this.#sources.find(({ state }) => state === 'absent')
    if (absent !== undefined) return makeClose('no_upstream', 'upstream', 'connect', problemOf(absent)!)
    const problem = this.#sources.find((source) => source.problem !== null)?.problem
    return makeClose('connect_failed', 'upstream', 'connect', problem ?? 'no addresses')
  }

  /** Whether a queued seeker is due for the free place, which a new seeker must not take. */
  get isBespoken(): boolean {
    return Number.isFinite(this.maxConnections) && this.#lineage.queue.isAwaited && this.hasRoom
  }

  /** A seeker waits, in any thread, and no place is free. */
  get isShort(): boolean {
    return (this.queued > 0 || this.#lineage.queue.isAwaited) && !this.hasRoom
  }

  get hasRoom(): boolean {
    const { maxConnections } = this
    return this.#targets.some((target) => !target.isUnhealthy && target.held < maxConnections)
  }

  /** Whether a target other than `current` and `tried` is healthy. */
  hasOther(tried: readonly UpstreamTarget[], current: UpstreamTarget): boolean {
    return this.#targets.some(
      (target) => target !== current && !target.isUnhealthy && !tried.includes(target),
    )
  }

  poolOf(target: UpstreamTarget): EndpointPool {
    const { clock, sweep, idleEnds } = this.context
    if (target.pool !== null) return target.pool
    const ends = idleEnds?.of(target.name, clock.now())
    return (target.pool = new EndpointPool(this.options.pool, clock, sweep, ends))
  }

  /** The sessions to a target; null where it speaks HTTP/1.1. */
  streamsOf(target: UpstreamTarget): Streams | null {
    const { makeStreams } = this.context
    if (makeStreams === undefined) return null
    const { pool, secure } = this.options
    return (target.streams ??= makeStreams({
      name: target.name,
      host: hostOf(target),
      isSecure: secure !== null,
      ...pool,
      dial: (dialler, connectMs) => dialKept(this.options, target, { dialler, connectMs }, this.context),
    }))
  }

  /** The seeker waits until it calls `leave`. */
  wait(waiting: Waiting): void {
    this.#lineage.queue.add(waiting)
  }

  leave(waiting: Waiting): void {
    this.#lineage.queue.delete(waiting)
  }

  #makeTarget(address: Target, from: string | null): UpstreamTarget {
    const { name = '' } = this.context
    const counted = this.#lineages.cells?.count(`${name} upstream ${formatTarget(address)}`)
    const target = new UpstreamTarget(address, from, this.#onReleased, counted ?? new LocalCount())
    const { findings, clock } = this.context
    if (findings !== undefined) followDials(target, findings.findings, `${name} ${target.name}`, clock)
    return target
  }

  #check(target: UpstreamTarget): void {
    const { healthCheck } = this.options
    if (healthCheck === null || target.check !== null) return
    const { clock, random, observer, findings } = this.context
    const crew = crewOf(target, this.#lineages.cells, findings)
    target.check = new HealthCheck(healthCheck, hostOf(target), {
      ...(crew === null ? {} : { crew }),
      clock,
      random,
      dial: (dialler) => dialProbe(this.options, target, this.context, dialler),
      onChecked: ({ problem }) => observer.onHealthCheck(problem === null),
      onTurned: () => this.#onTurned(target),
    })
  }

  #onTurned(target: UpstreamTarget): void {
    const { clock, connections, observer } = this.context
    observer.onTurned(target)
    if (target.isUnhealthy) {
      target.clearKept()
      const detail = `${target.name} failed its health checks (upstream.healthCheck)`
      target.eviction ??= new Eviction(target, detail, clock, connections)
    } else if (target.presence !== 'gone' || this.options.onRemoved === 'keep') {
      target.spare()
    }
    this.#lineage.queue.serveAll()
  }

  readonly #onReleased = (target: UpstreamTarget): void => {
    this.#removed.onReleased(target)
    if (this.queued > 0) this.#lineage.queue.serveOne()
  }

  #onResolved(): void {
    const known = new Map([...this.#removed, ...this.#targets].map((target) => [target.name, target]))
    const before = this.#targets
    this.#targets = [...wantedOf(this.#fixed, this.#sources)].map(([name, { address, from }]) => {
      const target = known.get(name) ?? this.#makeTarget(address, from)
      this.#removed.restore(target)
      this.#check(target)
      return target
    })
    const now = new Set(this.#targets)
    for (const target of before) if (!now.has(target)) this.#removed.add(target)
    this.#removed.judge(missingOf(this.#sources))
    this.#lineage.queue.serveAll()
  }
}
