// All listeners of the configuration, and how a reload changes them: it binds new ones first, then swaps
// everything in one turn of the event loop, then retires the old ones, once they have accepted the clients
// that the kernel holds for them. Nothing changes before the swap, so a port that cannot be bound changes
// nothing.
//
// A listener is the same if its name and protocol are. If its address stays, it keeps its listening socket,
// and no connection is refused during the reload; a socket whose address moves to another listener moves with
// it.

import { makeClose } from '../core/close.ts'
import type { Reason } from '../core/close.ts'
import { formatAddress } from '../config/address.ts'
import type { Config, ListenerConfig } from '../config/schema.ts'
import type { Connection } from '../core/connection.ts'
import { ConfigError, invariant } from '../core/errors.ts'
import { kernelQueue } from '../endpoint/kernel-queue.ts'
import { caughtUp } from '../listener/caught-up.ts'
import { isPatient, patience, PatientClose } from '../lifecycle/patient-close.ts'
import { SpreadClose } from '../lifecycle/spread-close.ts'
import { isSame } from '../core/late.ts'
import type { Ports } from './messages.ts'
import { cannotBind } from './options.ts'
import { meteredListener } from './limits-runtime.ts'
import { ListenerRuntime } from './listener-runtime.ts'
import type { GateContext } from './gate-context.ts'

/** The fate of one listener of the new configuration. */
interface Step {
  /** Its place in the configuration. */
  index: number
  config: ListenerConfig
  /** The current one where nothing but deadlines changed. */
  listener: ListenerRuntime
  /** The current listener whose listening socket it takes. */
  takesFrom: ListenerRuntime | null
}

export class ListenerSet {
  readonly #shared: GateContext
  #current: readonly ListenerRuntime[] = []
  /** Replaced or removed listeners, whose connections go on under the policy that admitted them. */
  readonly #retired = new Set<ListenerRuntime>()
  readonly #closings = new Set<SpreadClose | PatientClose>()
  #prepared: { steps: readonly Step[]; config: Config } | null = null

  constructor(shared: GateContext) {
    this.#shared = shared
  }

  get current(): readonly ListenerRuntime[] {
    return this.#current
  }

  /**
   * Binds and reads what `config` needs, beside the running listeners, and returns the port of each. Rejects
   * with a ConfigError, and then leaves everything as it was.
   */
  async prepare(config: Config, wanted: Ports | null): Promise<Ports> {
    // First, before connections take the descriptors.
    await kernelQueue.prepare()
    const steps = this.#plan(config)
    this.#prepared = { steps, config }
    try {
      for (const { listener, takesFrom, index } of this.#fresh(steps))
        await (takesFrom === null ? bind(listener, index, wanted?.[index] ?? null) : listener.prepare())
    } catch (error) {
      await this.abandon()
      throw error
    }
    const ports: Ports = config.listeners.map(() => null)
    for (const { index, listener, takesFrom } of steps) ports[index] = (takesFrom ?? listener).port
    return ports
  }

  /**
   * Swaps to the prepared configuration, in the turn of the call. Connections of removed listeners are asked
   * to leave over `config.drain.spread`. Resolves once the listening sockets that it leaves are closed:
   * another configuration may bind their addresses.
   */
  commit(): Promise<void> {
    invariant(this.#prepared !== null, 'nothing was prepared')
    const { steps, config } = this.#prepared
    this.#prepared = null
    return this.#swap(steps, config)
  }

  /**
   * Drops the prepared configuration. Clients that its listeners have got meanwhile are served to their end.
   */
  abandon(): Promise<void> {
    const { steps } = this.#prepared ?? { steps: [] }
    this.#prepared = null
    const dropped = this.#fresh(steps).map(({ listener }) => listener)
    for (const listener of dropped) listener.remove(() => {})
    return this.#retire(dropped)
  }

  #fresh(steps: readonly Step[]): Step[] {
    return steps.filter(({ listener }) => !this.#current.includes(listener))
  }

  /**
   * Resolves once the kernel holds no connection that waits for its accept: it would reset these when their
   * listeners close.
   */
  catchUp(): Promise<void> {
    return this.#caughtUp(this.#all)
  }

  /** Accepts no more; connections go on, and admission. */
  close(): void {
    for (const listener of this.#all) listener.close()
  }

  /** Ends the connections that are not admitted yet, with `reason`. */
  refuseArriving(reason: Reason): void {
    for (const listener of this.#all) listener.refuseArriving(reason)
  }

  /** At the end of the process: stops everything that keeps timers or sockets, whatever is open. */
  retire(): void {
    for (const closing of this.#closings) closing.cancel()
    const all = this.#all
    this.#retired.clear()
    for (const listener of all) listener.retire(() => {}, true)
  }

  /** The number of connections that wait in admission, for each name. */
  get arriving(): Array<readonly [name: string, number]> {
    return this.#all.map(({ config, arriving }) => [config.name, arriving] as const)
  }

  get #all(): ListenerRuntime[] {
    return [...this.#current, ...this.#retired]
  }

  #caughtUp(listeners: readonly ListenerRuntime[]): Promise<void> {
    return caughtUp(() => listeners.map(({ accepted }) => accepted), this.#shared.clock)
  }

  #plan({ listeners }: Config): Step[] {
    return listeners.flatMap((config, index) => {
      if (!this.#isMine(config)) return []
      const same =
        this.#current.find(
          (one) => one.config.name === config.name && one.config.protocol === config.protocol,
        ) ?? null
      if (
        same?.isInPlace === true &&
        isSame({ ...same.config, deadlines: null }, { ...config, deadlines: null })
      )
        return [{ index, config, listener: same, takesFrom: null }]
      const listener = new ListenerRuntime(config, keyOf(index), this.#shared, same)
      return [{ index, config, listener, takesFrom: this.#socketFor(config) }]
    })
  }

  /**
   * The kernel distributes the connections of a port over threads, but not those of a Unix socket: each of
   * these belongs to one gate, by its path.
   */
  #isMine({ address }: ListenerConfig): boolean {
    const { worker, workers } = this.#shared
    return workers === 1 || address.kind !== 'unix' || numberOf(address.path) % workers === worker
  }

  #socketFor({ name, address }: ListenerConfig): ListenerRuntime | null {
    const there = this.#current.filter(
      ({ config }) => formatAddress(config.address) === formatAddress(address),
    )
    // Port 0 is a different port each time, except for the listener that has it.
    const isAnyPort = address.kind === 'tcp' && address.port === 0
    return there.find(({ config }) => config.name === name) ?? (isAnyPort ? null : (there[0] ?? null))
  }

  /** In one turn, so that no connection is accepted under half of the change. */
  #swap(steps: readonly Step[], { drain }: Config): Promise<void> {
    const { metrics } = this.#shared
    const before = this.#current
    this.#current = steps.map(({ listener }) => listener)
    for (const { listener, takesFrom } of steps) if (takesFrom !== null) listener.takeOver(takesFrom)
    for (const step of steps) {
      step.listener.settle(step.config, keyOf(step.index))
      metrics.setListener(meteredListener(step.config, this.#shared))
    }
    const left = before.filter((listener) => !this.#current.includes(listener))
    const retired = this.#retire(left)
    for (const listener of this.#retired) {
      const successor = this.#successorOf(listener)
      if (successor !== undefined) listener.outdate(successor)
    }
    const removed = left
      .filter((one) => this.#successorOf(one) === undefined)
      .map(({ config }) => config.name)
    if (removed.length > 0) this.#remove(removed, drain)
    return retired
  }

  #successorOf({ config: { name, protocol } }: ListenerRuntime): ListenerRuntime | undefined {
    return this.#current.find(({ config }) => config.name === name && config.protocol === protocol)
  }

  /**
   * Their connections go on. Resolves once their listening sockets are closed, which accept whom the kernel
   * holds first.
   */
  async #retire(listeners: readonly ListenerRuntime[]): Promise<void> {
    for (const listener of listeners) this.#retired.add(listener)
    const accepting = listeners.filter(({ hasSocket }) => hasSocket)
    for (const listener of listeners) if (!listener.hasSocket) this.#close(listener)
    if (accepting.length === 0) return
    await this.#caughtUp(accepting)
    for (const listener of accepting) this.#close(listener)
  }

  #close(listener: ListenerRuntime): void {
    // The end of the process came while it caught up.
    if (!this.#retired.has(listener)) return
    listener.retire(() => void this.#retired.delete(listener))
  }

  /**
   * The connections of these names leave as in a drain, those of predecessors included, and those that are
   * admitted yet.
   */
  #remove(names: readonly string[], { spreadMs, timeoutMs, tcp }: Config['drain']): void {
    const { clock, registry } = this.#shared
    const begunAt = clock.now()
    const part = (connections: readonly Connection[]): void => {
      const passedMs = clock.now() - begunAt
      const patient = connections.filter((connection) => isPatient(connection, tcp))
      const others = connections.filter((connection) => !isPatient(connection, tcp))
      this.#wait(patient, patience(spreadMs, Math.max(0, timeoutMs - passedMs)))
      this.#spread(others, Math.max(0, Math.min(spreadMs, timeoutMs) - passedMs))
    }
    for (const listener of this.#retired)
      if (names.includes(listener.config.name)) listener.remove((connection) => part([connection]))
    part([...registry].filter(({ listener }) => names.includes(listener)))
  }

  #wait(connections: readonly Connection[], times: ReturnType<typeof patience>): void {
    const { clock, random } = this.#shared
    if (connections.length > 0) this.#keep(new PatientClose({ clock, random, connections, ...times, ask }))
  }

  #spread(connections: readonly Connection[], spreadMs: number): void {
    const { clock, random } = this.#shared
    if (connections.length > 0) this.#keep(new SpreadClose({ clock, random, connections, spreadMs, ask }))
  }

  #keep(closing: SpreadClose | PatientClose): void {
    for (const one of this.#closings) if (one.isOver) this.#closings.delete(one)
    this.#closings.add(closing)
  }
}

function ask(connection: Connection): void {
  connection.owner?.close(makeClose('reloaded', 'sidegate', connection.phase))
}

const keyOf = (index: number): string => `listeners[${index}]`

/** The same number in each gate, whatever else is configured. */
function numberOf(path: string): number {
  let number = 0
  for (const byte of Buffer.from(path)) number = (number * 31 + byte) % 65_521
  return number
}

async function bind(listener: ListenerRuntime, index: number, port: number | null): Promise<void> {
  try {
    await listener.listen(port)
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw cannotBind(`${keyOf(index)}.address`, listener.config.address, error as NodeJS.ErrnoException)
  }
}
