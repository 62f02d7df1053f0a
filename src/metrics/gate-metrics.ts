// The counts of the path of one gate. It counts at the events of a connection, and reads what moves with
// every chunk from the connections themselves at a scrape. The account always balances: for each listener and
// protocol, opened less closed is sidegate_connections{side="client"}. A connection is opened once its
// protocol is known, pending before that; an HTTP one that upgrades later counts as an ended HTTP one and a
// new WebSocket.

import { Registry as PromRegistry } from './prom-client.ts'
import type { Clock } from '../core/clock.ts'
import { reasonNames, type Close, type Reason, type Side } from '../core/close.ts'
import { closingSides, dialFailureReasons, droppingPolicies, rejectionReasons } from './expected-closes.ts'
import type {
  AnsweredRequest,
  Connection,
  LimitAction,
  LimitName,
  Observer,
  Protocol,
  Registry,
} from '../core/connection.ts'
import { kernelQueue } from '../endpoint/kernel-queue.ts'
import { countFailedDial, createGateInstruments, type GateInstruments } from './instruments.ts'
import { figuresOf } from './figures.ts'
import type { Figure } from './history.ts'
import { FleetMetrics } from './fleet-metrics.ts'
import { codeLabel, methodLabel } from './http-labels.ts'
import { ListenerMetrics, type MeteredLimit, type MeteredListener } from './listener-metrics.ts'
import { LoopDelay } from './loop-delay.ts'
import { outcomeOfConnection, outcomeOfRequest, outcomes, type Outcome } from './outcomes.ts'
import { rowsOf, type MetricRows } from './metric-rows.ts'
import { mirror, Tally } from './tally.ts'
import { UpstreamMetrics, type UpstreamCounts } from './upstream-metrics.ts'
import { WorkerMetrics } from './worker-metrics.ts'

export interface GateMetricsOptions {
  listeners: readonly MeteredListener[]
  /** All open connections, also those for which onOpened has not been called yet. */
  registry: Registry
  clock: Clock
  /** The connections of each listener that wait in admission; they are in no registry. */
  arriving?: () => Iterable<readonly [listener: string, count: number]>
  /** Connections that drains ended while something was owed to them. */
  drainCut?: () => number
  /** Failed queries of the kernel; by default those of this thread. */
  kernelLooksLost?: () => number
  /** For each existing listener. */
  upstreams?: () => readonly UpstreamCounts[]
  /** The moments at which certificates and authorities in use expire, in milliseconds since 1970. */
  certificates?: () => ReadonlyArray<readonly [name: string, at: number]>
  /** The number of this gate, where there are several; null where it is the only one. */
  worker?: number | null
}

export class GateMetrics implements Observer {
  readonly #options: GateMetricsOptions
  readonly #prom = new PromRegistry()
  readonly #instruments: GateInstruments = createGateInstruments(this.#prom)
  readonly #upstreams = new UpstreamMetrics(this.#prom)
  readonly #worker: WorkerMetrics | null
  /** Read by the history only, because reading it resets it. */
  #fleet: FleetMetrics | null = null
  readonly #historyDelay = new LoopDelay()
  readonly #listeners = new Map<string, ListenerMetrics>()
  readonly #showPauses: { toUpstream: (total: number) => void; toClient: (total: number) => void }
  readonly #showTotals: Record<'kernelLooksLost' | 'drainCut', (total: number) => void>
  readonly #opened = new Tally(this.#instruments.opened)
  readonly #closed = new Tally(this.#instruments.closed)
  readonly #rejected = new Tally(this.#instruments.rejected)
  readonly #dropped = new Tally(this.#instruments.messagesDropped)
  readonly #requests = new Tally(this.#instruments.requests)
  readonly #grpcResponses = new Tally(this.#instruments.grpcResponses)
  readonly #outcomes = new Tally(this.#instruments.outcomes)

  constructor(options: GateMetricsOptions) {
    this.#options = options
    const { worker = null } = options
    this.#worker = worker === null ? null : new WorkerMetrics(this.#prom, worker)
    const { pauses, kernelLooksLost, drainCut } = this.#instruments
    for (const result of ['success', 'failure'] as const) this.#instruments.tlsReloads.inc({ result }, 0)
    this.#showPauses = {
      toUpstream: mirror(pauses, { direction: 'to_upstream' }),
      toClient: mirror(pauses, { direction: 'to_client' }),
    }
    this.#showTotals = {
      kernelLooksLost: mirror(kernelLooksLost, {}),
      drainCut: mirror(drainCut, {}),
    }
    for (const policy of droppingPolicies) this.#dropped.add({ policy }, 0)
    for (const listener of options.listeners) this.setListener(listener)
  }

  /** Adds a listener, or changes its limits after a reload. Series of a removed one stay: counters must. */
  setListener(listener: MeteredListener): void {
    const known = this.#listeners.get(listener.name)
    if (known !== undefined) known.change(listener)
    else this.#addListener(listener)
    for (const reason of rejectionReasons) this.#rejected.add({ listener: listener.name, reason }, 0)
    for (const protocol of listener.protocols) this.#initialise(listener.name, protocol)
    for (const limit of listener.limits ?? []) this.#countLimited(listener.name, limit, 0)
  }

  #addListener(listener: MeteredListener): void {
    const { dialDuration, dialFailures, noLocalPort } = this.#instruments
    const labels = { listener: listener.name }
    this.#listeners.set(listener.name, new ListenerMetrics(listener, this.#instruments))
    dialDuration.zero(labels)
    noLocalPort.inc(labels, 0)
    for (const reason of dialFailureReasons) dialFailures.inc({ ...labels, reason }, 0)
  }

  /** From here on there are limits of the whole fleet. */
  announceFleet(): FleetMetrics {
    return (this.#fleet ??= new FleetMetrics(this.#prom))
  }

  /** From here on there are none. */
  withdrawFleet(): void {
    this.#fleet?.withdraw()
    this.#fleet = null
  }

  /** Admission refused a connection. */
  onRejected(listener: string, close: Close): void {
    this.#rejected.add({ listener, reason: close.reason })
  }

  /** Files of TLS changed, and were taken or refused. */
  onTlsReload(result: 'success' | 'failure'): void {
    this.#instruments.tlsReloads.inc({ result })
  }

  onOpened(connection: Connection): void {
    if (connection.countedAs !== null) return
    const { listener, protocol } = connection
    connection.countedAs = protocol
    this.#opened.add({ listener, protocol })
  }

  onConnected({ listener }: Connection, dialMs: number): void {
    this.#instruments.dialDuration.observe({ listener }, dialMs / 1000)
  }

  onConnectFailed({ listener }: Connection, close: Close): void {
    countFailedDial(this.#instruments, listener, close)
  }

  /** The upstream has health checks: their counts stand at 0 from the start. */
  announceHealthChecks(listener: string): void {
    this.#upstreams.announceHealthChecks(listener)
  }

  onHealthCheck(listener: string, isPassed: boolean): void {
    this.#upstreams.onHealthCheck(listener, isPassed)
  }

  onHead(): void {}

  onAnswer(): void {}

  onMessage(): void {}

  onPingSent(_connection: Connection): void {
    this.#instruments.pings.inc()
  }

  onPong(_connection: Connection, rttMs: number): void {
    this.#instruments.pongRtt.observe({}, rttMs / 1000)
  }

  onMessagesDropped(_connection: Connection, policy: string, messages: number): void {
    this.#dropped.add({ policy }, messages)
  }

  onRequest({ listener }: Connection, request: AnsweredRequest): void {
    const { method, status, durationMs, end, grpcStatus } = request
    this.#countOutcome(listener, 'http', outcomeOfRequest(status, end, grpcStatus))
    if (grpcStatus !== undefined) this.#grpcResponses.add({ listener, grpc_status: grpcStatus })
    this.#requests.add({ listener, method: methodLabel(method), code: codeLabel(status) })
    this.#instruments.requestDuration.observe({ listener }, durationMs / 1000)
  }

  onLimited(listener: string, limit: LimitName, action: LimitAction, isEnforced: boolean): void {
    this.#countLimited(listener, { limit, action, isEnforced }, 1)
  }

  #countLimited(listener: string, { limit, action, isEnforced }: MeteredLimit, times: number): void {
    if (isEnforced) this.#instruments.rateLimited.inc({ listener, limit, action }, times)
    else this.#instruments.observed.inc({ listener, limit }, times)
  }

  onClosed(connection: Connection): void {
    this.onOpened(connection)
    this.#accountUpgrade(connection)
    const { listener, protocol, openedAt, end } = connection
    this.#countClosed(listener, protocol, end?.side ?? 'sidegate', end?.reason ?? 'internal_error')
    const outcome = outcomeOfConnection(connection)
    if (outcome !== null) this.#countOutcome(listener, protocol, outcome)
    this.#instruments.duration.observe({ listener, protocol }, (this.#options.clock.now() - openedAt) / 1000)
    this.#of(listener).ended.add(connection)
  }

  /** All metrics as plain data, of the same moment: no turn of the event loop lies between two values. */
  async rows(): Promise<MetricRows> {
    const upstreams = this.#options.upstreams?.() ?? []
    this.#collect(upstreams)
    return this.#upstreams.name(await rowsOf(this.#prom), upstreams)
  }

  /** The present figures for the history. */
  figures(): Figure[] {
    this.#walk()
    return [
      ...figuresOf({
        listeners: this.#listeners,
        opened: this.#opened,
        closed: this.#closed,
        rejected: this.#rejected,
        upstreams: this.#options.upstreams?.() ?? [],
        delay: this.#historyDelay.read(),
        fleet: this.#fleet,
      }),
    ]
  }

  /** Stops the sampling of the event loop. */
  stop(): void {
    this.#historyDelay.stop()
    this.#worker?.stop()
  }

  #initialise(listener: string, protocol: Protocol): void {
    this.#opened.add({ listener, protocol }, 0)
    this.#instruments.duration.zero({ listener, protocol })
    for (const outcome of outcomes) this.#countOutcome(listener, protocol, outcome, 0)
    for (const reason of reasonNames) {
      for (const side of closingSides[reason]) this.#closed.add({ listener, protocol, side, reason }, 0)
    }
  }

  #countOutcome(listener: string, protocol: Protocol, outcome: Outcome, times = 1): void {
    this.#outcomes.add({ listener, protocol, outcome }, times)
  }

  #countClosed(listener: string, protocol: Protocol, side: Side, reason: Reason): void {
    this.#closed.add({ listener, protocol, side, reason })
  }

  #accountUpgrade(connection: Connection): void {
    const { listener, protocol, countedAs: openedAs } = connection
    if (openedAs === null || openedAs === protocol) return
    this.#countClosed(listener, openedAs, 'client', 'eof')
    this.#opened.add({ listener, protocol })
    connection.countedAs = protocol
  }

  /** A listener that was not announced counts too; its name comes from the configuration either way. */
  #of(listener: string): ListenerMetrics {
    let known = this.#listeners.get(listener)
    if (known === undefined) {
      known = new ListenerMetrics(
        {
          name: listener,
          protocols: [],
          maxConnections: Number.POSITIVE_INFINITY,
          bufferHighBytes: Number.POSITIVE_INFINITY,
        },
        this.#instruments,
      )
      this.#listeners.set(listener, known)
    }
    return known
  }

  #collect(upstreams: readonly UpstreamCounts[]): void {
    this.#walk()
    this.#show()
    this.#upstreams.show(upstreams)
    this.#worker?.show(this.#options.registry.size)
    this.#showCertificates()
  }

  /** Only those in use: an alert for a certificate that a reload took away could not be mended. */
  #showCertificates(): void {
    const { tlsExpiry } = this.#instruments
    tlsExpiry.reset()
    for (const [name, at] of this.#options.certificates?.() ?? []) tlsExpiry.set({ name }, at / 1000)
  }

  #walk(): void {
    for (const listener of this.#listeners.values()) listener.beginWalk()
    for (const connection of this.#options.registry) {
      const listener = this.#of(connection.listener)
      if (connection.countedAs === null) {
        listener.pending++
      } else {
        this.#accountUpgrade(connection)
        listener.walk(connection)
      }
    }
    for (const [listener, count] of this.#options.arriving?.() ?? []) this.#of(listener).pending += count
  }

  #show(): void {
    const { buffered, backpressured } = this.#instruments
    const sum = { client: 0, upstream: 0, backpressured: 0, pausesToUpstream: 0, pausesToClient: 0 }
    for (const listener of this.#listeners.values()) {
      listener.show()
      sum.client += listener.bufferedForClient
      sum.upstream += listener.bufferedForUpstream
      sum.backpressured += listener.backpressured
      sum.pausesToUpstream += listener.traffic.pausesToUpstream
      sum.pausesToClient += listener.traffic.pausesToClient
    }
    buffered.set({ side: 'client' }, sum.client)
    buffered.set({ side: 'upstream' }, sum.upstream)
    backpressured.set(sum.backpressured)
    this.#showPauses.toUpstream(sum.pausesToUpstream)
    this.#showPauses.toClient(sum.pausesToClient)
    this.#showTotals.drainCut(this.#options.drainCut?.() ?? 0)
    for (const tally of [
      this.#opened,
      this.#closed,
      this.#rejected,
      this.#dropped,
      this.#requests,
      this.#grpcResponses,
      this.#outcomes,
    ])
      tally.show()
    this.#showTotals.kernelLooksLost(this.#options.kernelLooksLost?.() ?? kernelQueue.lost)
  }
}
