// A gate in its own thread, as its operator sees it: a port for messages, a pulse, and one end.

import type { Worker } from 'node:worker_threads'
import type { Clock } from '../core/clock.ts'
import { nodeWorkerThreads } from '../core/late.ts'
import { Pulse } from '../core/pulse.ts'
import { Channel } from '../gate/channel.ts'
import type { SentLines } from '../gate/log-line.ts'
import { gateQuestions, isLastQuestion, lastQuestions, unheard } from '../gate/messages.ts'
import type { GatePort, GateSettings } from '../gate/messages.ts'
import type { ThreadData } from '../gate/thread.ts'
import type { Finding } from '../upstream/finding.ts'
import type { OpenGate } from './gates.ts'

export interface ThreadGateParts {
  clock: Clock
  settings: GateSettings
  /** The pulse of the gate that it replaces, so that no id is given twice. */
  pulse: Pulse
  /** Megabytes to which its heap may grow. */
  heapMb: number
  /** The first file of the thread. */
  file: URL
  refreshMs: number
  lookup: (name: string) => Promise<readonly string[]>
  log: (sent: SentLines) => void
  found: (finding: Finding) => void
  empty: () => void
  /** The thread has ended, and why; called once, also after a stop. */
  onEnded: (why: string) => void
}

export const THREAD_FILE = new URL(
  import.meta.url.endsWith('.ts') ? '../gate/thread.ts' : '../gate/thread.js',
  import.meta.url,
)

/**
 * After so long without a beat the operator does not wait for answers: a scrape, a listing, and the watch
 * over memory go on without them, and so does the end of the process.
 */
const SILENT_MS = 4000
/** After so long without a beat the thread hangs. */
const HANG_MS = 10_000
/** How long loading may take on a busy machine. */
const BEGIN_MS = 120_000
const LOOK_MS = 1000

export class ThreadGate implements OpenGate {
  readonly port: GatePort
  readonly #parts: ThreadGateParts
  readonly #thread: Worker
  readonly #channel: Channel
  readonly #stopWatching: () => void
  #why: string | null = null
  #beats: number
  #hasBegun = false
  #silentMs = 0
  /** The part of `#silentMs` outside heap snapshots. */
  #hangingMs = 0
  /** A heap snapshot is being taken. */
  #isStill = false
  /** The process ends, and asked for the last answers. */
  #isEnding = false

  constructor(parts: ThreadGateParts) {
    this.#parts = parts
    this.#beats = parts.pulse.beats
    this.#thread = startThread(parts)
    this.#channel = new Channel(this.#thread, (name, question) => this.#answer(name, question))
    this.port = portOver((name, question) => this.#ask(name, question))
    this.#thread.on('error', (error: Error) => (this.#why ??= whyOf(error)))
    this.#thread.once('exit', () => this.#onExit())
    this.#stopWatching = parts.clock.every(LOOK_MS, () => this.#look())
  }

  get open(): number {
    return this.#parts.pulse.open
  }

  /** The operator does not wait for its answers. */
  get isSilent(): boolean {
    return this.#hasBegun && this.#silentMs >= SILENT_MS
  }

  /** Ends the thread whatever it does, and reports `why` if there is no reason yet. Resolves at its end. */
  async end(why: string): Promise<void> {
    this.#why ??= why
    await this.#thread.terminate()
  }

  /** A snapshot of its heap; its thread stands still until the first piece. */
  async *snapshot(): AsyncGenerator<Buffer> {
    this.#isStill = true
    const pieces = await this.#thread.getHeapSnapshot().finally(() => (this.#isStill = false))
    for await (const piece of pieces) yield piece as Buffer
  }

  #ask(name: string, question: unknown): Promise<unknown> {
    this.#isEnding ||= isLastQuestion(name, question)
    this.#leaveIfSilent()
    return this.#channel.ask(name, question)
  }

  #answer(name: string, question: unknown): unknown {
    const { lookup, log, found, empty, pulse } = this.#parts
    if (name === 'lookup') return lookup(question as string)
    if (name === 'empty') return empty()
    if (name === 'found') return found(question as Finding)
    if (name === 'failed') return void (this.#why ??= `uncaught error: this is a bug: ${String(question)}`)
    const sent = question as SentLines
    pulse.hear(sent.bytes)
    return log(sent)
  }

  /** Counts looks, not time: when this thread stood still, so did the other. */
  #look(): void {
    const { beats } = this.#parts.pulse
    const isSilent = beats === this.#beats
    this.#hasBegun ||= !isSilent
    this.#silentMs = isSilent ? this.#silentMs + LOOK_MS : 0
    this.#hangingMs = isSilent && !this.#isStill ? this.#hangingMs + LOOK_MS : 0
    this.#beats = beats
    this.#leaveIfSilent()
    const most = this.#hasBegun ? HANG_MS : BEGIN_MS
    if (this.#hangingMs >= most) void this.end(`its event loop did not turn for ${most / 1000}s`)
  }

  #leaveIfSilent(): void {
    this.#channel.leaveUnanswered(this.isSilent ? (this.#isEnding ? lastQuestions : unheard) : null)
  }

  #onExit(): void {
    this.#stopWatching()
    this.#channel.close()
    this.#parts.onEnded(this.#why ?? 'it ended by itself')
  }
}

function startThread({ settings, pulse, refreshMs, heapMb, file }: ThreadGateParts): Worker {
  const { Worker: Thread } = nodeWorkerThreads()
  const workerData: ThreadData = { settings, pulse: pulse.memory, refreshMs }
  return new Thread(file, {
    name: `gate ${settings.worker}`,
    workerData,
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
  })
}

function portOver(ask: Channel['ask']): GatePort {
  const entries = gateQuestions.map((name) => [name, (question: unknown) => ask(name, question)])
  return Object.fromEntries(entries) as GatePort
}

function whyOf(error: Error & { code?: string }): string {
  return error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? 'its heap was full' : String(error.stack ?? error)
}
