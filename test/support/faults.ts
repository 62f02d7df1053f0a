// The faults that a test may cause in a worker (faulty-thread.ts).

export const FAULTS = 'faults of tests'

export type EndKind = 'throw' | 'hang' | 'heap' | 'exit'
export type Fault =
  | { worker: number; kind: EndKind }
  /** The worker stands still, as one that gets no turn of a core, until that word is not 0. */
  | { worker: number; kind: 'still'; until: Int32Array }

export function bring(fault: Fault): void {
  const channel = new BroadcastChannel(FAULTS)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has no origin
  channel.postMessage(fault)
  channel.close()
}

/** Lets the worker go on. */
export type LetGo = () => void

export function holdStill(worker: number): LetGo {
  const until = new Int32Array(new SharedArrayBuffer(4))
  bring({ worker, kind: 'still', until })
  return () => {
    Atomics.store(until, 0, 1)
    Atomics.notify(until, 0)
  }
}
