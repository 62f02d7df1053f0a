// The limits of a whole fleet as one gate keeps them: leases from Redis, from which it limits at once.
// Nothing on the path waits for Redis: requests of leases are collected and sent one batch at a time, so no
// queue grows without a bound either.
//
// Each gate reports that it is alive, and learns how many are. A gate that Redis has forgotten (it was
// restarted empty) reports everything again.
//
// Names are hashed with a secret that Redis keeps under the prefix, so that no address shows by chance
// (MONITOR, the slow log, a browser of keys). An owner of that Redis can work the names out.

import type { BucketRate, Cells, Count, Tokens } from '../core/cells.ts'
import { nodeCrypto } from '../core/late.ts'
import { Circuit } from './circuit.ts'
import type { FleetContext, FleetOptions } from './context.ts'
import type { FleetState, Lease, Mode } from './lease.ts'
import { LeasedCount } from './leased-count.ts'
import { LeasedTokens } from './leased-tokens.ts'
import { hashed, newName } from './names.ts'
import type { Answer, Command, Connect } from './store.ts'

const BEAT_MS = 3000
/** A gate without a beat for so long is not counted. */
const GATE_TTL_MS = 10_000
const TEND_MS = 1000
/** How long leases gather while a batch is under way; Redis answers a batch within one turn. */
const GATHER_MS = 5
/** Some 20 MB. Beyond it the oldest leases without a connection are forgotten. */
const MAX_LEASES = 65_536

interface Entry {
  readonly id: string
  readonly name: string
  key: string
  /** The keys that it is one of; see `#keys`. */
  keys: number
  readonly lease: Lease
}

export class Fleet implements Cells, FleetState {
  readonly isShared = false
  gate = newName()
  gates = 1
  #options: FleetOptions
  readonly #context: FleetContext
  #circuit: Circuit
  readonly #entries = new Map<string, Entry>()
  readonly #entryOf = new WeakMap<Lease, Entry>()
  #asking = new Set<Lease>()
  /** A batch goes out, or is under way. */
  #isSending = false
  /** The leases of the batch under way. */
  #inFlight: readonly Lease[] = []
  /** The time at which the gathered requests go out, and the earliest time at which any may. */
  #sendAt = Number.POSITIVE_INFINITY
  #notBefore = Number.NEGATIVE_INFINITY
  #cancelSending: () => void = () => {}
  #beatAt = 0
  #secret: string | null = null
  /** Counts up whenever all keys change, those of leases in use that were forgotten among them. */
  #keys = 1
  #stopTending: () => void = () => {}
  /** The fleet is out of use; open connections still limit by it. */
  #isOver = false

  constructor(options: FleetOptions, context: FleetContext) {
    this.#options = options
    this.#context = context
    this.#circuit = this.#makeCircuit(context.connect)
  }

  #makeCircuit(connect: Connect): Circuit {
    const { clock, random, observer } = this.#context
    // Events of a circuit that another has replaced are ignored.
    const isInUse = (): boolean => this.#circuit === circuit && !this.#isOver
    const circuit: Circuit = new Circuit(
      { timeoutMs: () => this.#options.timeoutMs, probe: () => this.#beat(GATE_TTL_MS) },
      {
        clock,
        random,
        connect,
        onUp: (answer) => isInUse() && this.#onUp(answer),
        onDown: (problem) => isInUse() && this.#onDown(problem),
        onRequests: (count, result, ms) => observer.onRequests(count, result, ms),
      },
    )
    return circuit
  }

  start(): void {
    this.#circuit.start()
    this.#stopTending = this.#context.clock.every(TEND_MS, () => this.#tend())
  }

  /** Reports its end, if Redis is reachable. From here on this gate is the only one of its fleet. */
  stop(): Promise<void> {
    this.#stopTending()
    this.#cancelSending()
    this.#asking.clear()
    this.#isOver = true
    this.gates = 1
    return this.#leave(this.#circuit)
  }

  /** Changes the rule for the time in which Redis is away, and the time after which it is. */
  settle({ timeoutMs, onUnavailable }: Pick<FleetOptions, 'timeoutMs' | 'onUnavailable'>): void {
    this.#options = { ...this.#options, timeoutMs, onUnavailable }
  }

  /**
   * Moves to another Redis, or to another way to the same one (`isSameData`), where the holdings stay. The
   * leases report them there, as to a Redis that was restarted empty. Until it answers, it is away.
   */
  turnTo(options: FleetOptions, connect: Connect, isSameData = false): Promise<void> {
    // First, under the keys that the leases have there.
    const left = isSameData ? Promise.resolve(this.#circuit.stop()) : this.#leave(this.#circuit)
    this.#options = options
    if (!isSameData) {
      // If it is the same Redis after all, the holdings given back are not those that the leases report.
      this.gate = newName()
      this.#secret = null
      this.#keys++
    }
    this.#asking.clear()
    // Questions that are under way there get no answer any more: nothing here waits for one.
    for (const lease of this.#inFlight) lease.lose()
    this.#inFlight = []
    this.#cancelSending()
    this.#isSending = false
    this.#sendAt = Number.POSITIVE_INFINITY
    this.#circuit = this.#makeCircuit(connect)
    this.#circuit.start(true)
    return left
  }

  /** Gives back all that it holds there, if Redis is reachable, so that other gates need not wait. */
  async #leave(circuit: Circuit): Promise<void> {
    const commands = [this.#beat(0)]
    for (const entry of circuit.isUp ? this.#entries.values() : []) {
      const last = entry.lease.leave()
      if (last !== null) commands.push({ ...last, key: this.#keyOf(entry) })
    }
    const { most } = circuit
    for (let at = 0; at < commands.length; at += most)
      if ((await circuit.run(commands.slice(at, at + most))) === null) break
    circuit.stop()
  }

  get isUp(): boolean {
    return this.#circuit.isUp && !this.#isOver
  }

  get isAway(): boolean {
    return !this.#circuit.isUp && !this.#isOver
  }

  get isRetrying(): boolean {
    return this.#circuit.isRetrying && !this.#isOver
  }

  get lends(): boolean {
    return this.#circuit.isLate && !this.#isOver && this.#options.onUnavailable !== 'closed'
  }

  get mode(): Mode {
    if (this.isUp) return 'leased'
    return this.#isOver ? 'local' : this.#options.onUnavailable
  }

  /** The number of leases. */
  get size(): number {
    return this.#entries.size
  }

  count(name: string): Count {
    const { clock } = this.#context
    return this.#lease(`count ${name}`, () => new LeasedCount(this, () => clock.now()))
  }

  bucket(name: string, rate: BucketRate, now: number): Tokens {
    // The key includes the rate, which a reload may change; in Redis the bucket is one.
    return this.#lease(
      `rate ${name}`,
      () => new LeasedTokens(rate, this, now),
      `${rate.perSec} ${rate.burst}`,
    )
  }

  ask(lease: Lease, withinMs = 0): void {
    const entry = this.#entryOf.get(lease)
    if (entry === undefined || !this.isUp) return
    this.#asking.add(lease)
    const now = this.#context.clock.now()
    const at = Math.max(now + withinMs, this.#notBefore)
    if (at >= this.#sendAt) return
    this.#sendAt = at
    if (!this.#isSending) this.#sendIn(at - now)
  }

  #sendIn(ms: number): void {
    const { clock } = this.#context
    const circuit = this.#circuit
    this.#cancelSending()
    if (ms > 0) {
      this.#cancelSending = clock.after(ms, () => void this.#send(circuit))
    } else {
      this.#isSending = true
      clock.nextTurn(() => void this.#send(circuit))
    }
  }

  keep(lease: Lease): void {
    const entry = this.#entryOf.get(lease)
    if (entry !== undefined) this.#add(entry)
  }

  onDrawn(ms: number): void {
    this.#context.observer.onDrawn(ms)
  }

  #lease<T extends Lease>(name: string, make: () => T, variant = ''): T {
    const id = `${name} ${variant}`
    const known = this.#entries.get(id)
    if (known !== undefined) return known.lease as T
    const lease = make()
    const entry = { id, name, key: '', keys: 0, lease }
    this.#entryOf.set(lease, entry)
    this.#add(entry)
    return lease
  }

  #add(entry: Entry): void {
    this.#entries.set(entry.id, entry)
    if (this.#entries.size > MAX_LEASES) this.#forgetOldest()
  }

  /** Those in use go to the end, or each newcomer would go past all of them again. */
  #forgetOldest(): void {
    let left = this.#entries.size
    for (const [id, entry] of this.#entries) {
      if (left-- === 0) return
      this.#entries.delete(id)
      const { lease } = entry
      if (!(lease instanceof LeasedCount) || lease.held === 0) return lease.forget()
      this.#entries.set(id, entry)
    }
  }

  #beat(ttlMs: number): Command {
    const secret = nodeCrypto().randomBytes(24).toString('base64url')
    return { script: 'beat', key: `${this.#options.prefix}gates`, args: [this.gate, ttlMs, secret] }
  }

  #keyOf(entry: Entry): string {
    const { prefix, plainKeys } = this.#options
    if (entry.keys !== this.#keys)
      entry.key = prefix + (plainKeys ? entry.name : hashed(entry.name, this.#secret ?? ''))
    entry.keys = this.#keys
    return entry.key
  }

  /** Sends one batch, and then the next of the requests gathered meanwhile, while `circuit` is in use. */
  async #send(circuit: Circuit): Promise<void> {
    if (circuit !== this.#circuit) return
    const { clock } = this.#context
    this.#isSending = true
    this.#sendAt = Number.POSITIVE_INFINITY
    const batch: Array<[Lease, Command]> = []
    for (const lease of this.#asking) {
      if (batch.length === circuit.most) break
      this.#asking.delete(lease)
      const asked = lease.request(clock.now())
      if (asked !== null) batch.push([lease, { ...asked, key: this.#keyOf(this.#entryOf.get(lease)!) }])
    }
    this.#inFlight = batch.map(([lease]) => lease)
    const answers = batch.length === 0 ? [] : await circuit.run(batch.map(([, command]) => command))
    if (circuit !== this.#circuit) return
    this.#inFlight = []
    const now = clock.now()
    for (const [index, [lease]] of batch.entries()) {
      if (answers === null) lease.lose()
      else lease.answer(answers[index]!, now)
    }
    this.#sendRest(now)
  }

  /** Requests that came meanwhile can wait as long as others, but for those that a full batch has left. */
  #sendRest(now: number): void {
    this.#isSending = false
    const isMore = this.#asking.size > 0 && this.isUp
    this.#notBefore = isMore ? now + GATHER_MS : now
    const at = Number.isFinite(this.#sendAt) ? this.#sendAt : now
    this.#sendAt = isMore ? Math.max(at, this.#notBefore) : Number.POSITIVE_INFINITY
    if (isMore) this.#sendIn(this.#sendAt - now)
  }

  #tend(): void {
    const now = this.#context.clock.now()
    for (const [id, { lease }] of this.#entries) if (lease.tend(now)) this.#entries.delete(id)
    if (this.isUp && now >= this.#beatAt) void this.#sayAlive()
  }

  async #sayAlive(): Promise<void> {
    this.#beatAt = this.#context.clock.now() + BEAT_MS
    const circuit = this.#circuit
    const answers = await circuit.run([this.#beat(GATE_TTL_MS)])
    if (answers !== null && circuit === this.#circuit) this.#learn(answers[0]!)
  }

  #onUp(answer: Answer): void {
    this.#beatAt = this.#context.clock.now() + BEAT_MS
    this.#learn(answer)
    // Connections came and went while Redis was away.
    this.#reportAgain()
    this.#context.observer.onUp(this.gates)
  }

  #onDown(problem: string): void {
    this.#asking.clear()
    this.#context.observer.onDown(problem)
  }

  #learn([gates, isKnown, secret]: Answer): void {
    this.gates = Math.max(1, Number(gates))
    this.#context.observer.onGates(this.gates)
    if (Number(isKnown) === 1 && secret === this.#secret) return
    if (secret !== this.#secret) this.#keys++
    this.#secret = String(secret)
    this.#reportAgain()
  }

  #reportAgain(): void {
    for (const { lease } of this.#entries.values()) {
      lease.reportAgain()
      this.ask(lease)
    }
  }
}
