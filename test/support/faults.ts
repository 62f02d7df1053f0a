// What a test may bring on a worker (faulty-thread.ts).

export const FAULTS = 'faults of tests'

export interface Fault {
  worker: number
  kind: 'throw' | 'hang' | 'heap' | 'exit'
}

export const faultyThread = new URL('./faulty-thread.ts', import.meta.url)

export function bring(fault: Fault): void {
  const channel = new BroadcastChannel(FAULTS)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a channel has no origin
  channel.postMessage(fault)
  channel.close()
}
