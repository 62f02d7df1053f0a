// A worker's thread in which a test can cause a fault: by a BroadcastChannel, which reaches every thread of the process.

import { workerData } from 'node:worker_threads'
import '../../src/gate/thread.ts'
import type { ThreadData } from '../../src/gate/thread.ts'
import { FAULTS } from './faults.ts'
import type { Fault } from './faults.ts'

const { settings } = workerData as ThreadData
const channel = new BroadcastChannel(FAULTS)
channel.unref()
channel.addEventListener('message', ({ data }) => {
  const fault = data as Fault
  const { worker, kind } = fault
  if (worker !== settings.worker) return
  if (kind === 'still') Atomics.wait(fault.until, 0, 0)
  if (kind === 'exit') process.exit(3)
  if (kind === 'hang') for (;;);
  if (kind === 'throw')
    setImmediate(() => {
      throw new Error('thrown by the test')
    })
  if (kind === 'heap') fill()
})

function fill(): void {
  const kept: unknown[] = []
  for (;;) kept.push(Array.from({ length: 10_000 }, (_, nth) => ({ nth })))
}
