// An Upstream on a fake clock, with names that a test answers, and connections that look for a place there.

import { setImmediate as turn } from 'node:timers/promises'
import { Sweep } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection, Registry, releasePlace } from '../../src/core/connection.ts'
import { Dial } from '../../src/upstream/dial.ts'
import type { SocketDialler, Target } from '../../src/upstream/dial.ts'
import { Lineages } from '../../src/upstream/lineage.ts'
import { Names } from '../../src/upstream/names.ts'
import { Search } from '../../src/upstream/search.ts'
import { LastingCells } from '../../src/limits/lasting-cells.ts'
import { attach } from '../../src/limits/shared-cells.ts'
import { giveBack, makeSharedMemory } from '../../src/limits/shared-memory.ts'
import { Findings } from '../../src/upstream/findings.ts'
import type { Finding } from '../../src/upstream/finding.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import type { UpstreamOptions } from '../../src/upstream/options.ts'
import { fixed } from '../../src/core/live.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { addressOf } from '../support/addresses.ts'

export interface Sought {
  connection: Connection
  search: Search
  /** The places that it was given, in order, and how long each might be dialled. */
  places: Array<{ name: string; connectMs: number }>
  /** Why there was none. */
  end: Close | null
  /** The dial failed. */
  fail(reason?: 'connect_refused' | 'connect_failed' | 'connect_timeout', detail?: string): void
  /** The connection is over. */
  release(): void
}

/** The parts that the upstreams of one thread share. */
interface Thread {
  lineages: Lineages
  findings?: Findings
}

export function target(port: number, host = '10.0.0.1'): Target {
  return { host, port }
}

/** Opens connections as an upstream in the clear does, to where `target` says then; they are given up from outside. */
export function directDial(target: () => Target, clock: Clock): (dialler: SocketDialler) => Dial {
  const sweep = new Sweep(clock)
  const options = {
    from: null,
    read: null,
    connectMs: Infinity,
    noDelay: true,
    secure: null,
  }
  return (dialler) => new Dial({ ...options, target: target() }, { clock, sweep }, dialler)
}

export function setUp(addresses: Target[], options: Partial<UpstreamOptions> = {}) {
  const clock = fakeClock()
  const sweep = new Sweep(clock, 80)
  const registry = new Registry()
  const answers = new Map<string, readonly string[] | string>()
  const told: string[] = []
  const checked: boolean[] = []
  /** From one worker to the others. */
  const passedOn: Finding[] = []
  /** Lookups that hang, because the test has not said what they find. */
  const hanging = new Map<string, () => void>()
  const lookup = async (name: string): Promise<readonly string[]> => {
    if (!answers.has(name)) await new Promise<void>((resolve) => hanging.set(name, resolve))
    const answer = answers.get(name)!
    if (typeof answer === 'string') throw Object.assign(new Error(answer), { code: answer })
    return answer
  }
  const names = new Names({ lookup, refreshMs: 1000 }, clock, () => 0.5)
  const own: Thread = { lineages: new Lineages({ clock, cells: new LastingCells() }) }
  const upstream = makeUpstream(own)

  function makeUpstream({ findings, lineages }: Thread, to = addresses): Upstream {
    return new Upstream(
      {
        addresses: to,
        balance: 'leastConnections',
        maxConnections: Infinity,
        queueTimeoutMs: 5000,
        deadlines: fixed({ connectMs: 1000 }),
        retryForMs: 0,
        staleForMs: 30_000,
        onRemoved: 'keep',
        noDelay: true,
        secure: null,
        proxyProtocol: null,
        pool: { keepAliveMs: 4000, maxIdle: 64 },
        healthCheck: null,
        ...options,
      },
      {
        clock,
        sweep,
        random: () => 0.5,
        names,
        connections: registry,
        lineages,
        name: 'l',
        ...(findings === undefined ? {} : { findings: { findings, checkName: 'check l' } }),
        observer: {
          onHealthCheck: (isPassed) => checked.push(isPassed),
          onTurned: ({ name, check }) => told.push(`${name} ${check!.state}`),
          onResolved: (name, problem) => told.push(`${name} ${problem}`),
        },
      },
    )
  }

  function seekAt(upstream: Upstream): Sought {
    const connection = new Connection(registry.nextId(), 'l', 'tcp', addressOf('127.0.0.1:1'), clock.now())
    registry.add(connection)
    const places: Sought['places'] = []
    const search = new Search(upstream, connection, {
      onPlace: ({ name }, connectMs) => places.push({ name, connectMs }),
      onNoPlace: (close) => (sought.end = close),
    })
    const sought: Sought = {
      connection,
      search,
      places,
      end: null,
      fail: (reason = 'connect_refused', detail = 'ECONNREFUSED') =>
        search.retry(makeClose(reason, 'upstream', 'connect', detail)),
      release: () => releasePlace(connection),
    }
    search.start()
    return sought
  }

  const of = (upstream: Upstream) => {
    const seek = (): Sought => seekAt(upstream)
    /** The ports of the places of so many new connections. */
    const ports = (count: number) =>
      Array.from({ length: count }, () => seek().places[0]?.name.split(':').at(-1))
    const open = () => Object.fromEntries(upstream.targets.map(({ name, open }) => [name, open]))
    return { upstream, seek, ports, open }
  }
  /** As a reload makes one for the same listener. */
  const another = (to?: Target[]) => of(makeUpstream(own, to))
  /** As each worker thread makes one; `end` is of its thread. */
  const inWorkers = (workers: number) => {
    const memory = makeSharedMemory({ workers, clients: 0 })
    const all: Findings[] = []
    /** A gate that joins knows what the first one does. */
    const make = (worker: number) => {
      const findings = new Findings((finding) => {
        passedOn.push(finding)
        for (const other of all) if (other !== findings) other.learn(finding)
      })
      for (const finding of all[0]?.all ?? []) findings.learn(finding)
      all[worker] = findings
      const cells = attach(memory, worker, clock.now())
      const thread = { findings, lineages: new Lineages({ clock, cells }) }
      const upstream = makeUpstream(thread)
      const reloaded = () => of(makeUpstream(thread))
      const end = () => giveBack(memory, worker)
      return { ...of(upstream), cells, end, reloaded, again: () => make(worker) }
    }
    return Array.from({ length: workers }, (_, worker) => make(worker))
  }
  /** The next answer for the name: to the lookup that hangs, or to the next one. */
  async function answer(name: string, found: readonly string[] | string): Promise<void> {
    answers.set(name, found)
    const resolve = hanging.get(name)
    hanging.delete(name)
    resolve?.()
    await clock.pass(resolve === undefined ? 1000 : 0)
    await turn()
  }
  return {
    clock,
    sweep,
    registry,
    answers,
    answer,
    told,
    checked,
    passedOn,
    another,
    inWorkers,
    ...of(upstream),
  }
}
