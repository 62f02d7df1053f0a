// A memory gauge in the hands of a test: a container of 100 MiB, of which as much is used as the test says.

import type { MemoryGauge } from '../../src/overload/memory.ts'

export interface TestMemory extends MemoryGauge {
  /** From the next look on this share of the limit is used. */
  use(share: number): void
}

export function testMemory(limitBytes = 100 * 1024 * 1024): TestMemory {
  let usageBytes = limitBytes / 10
  return {
    cgroup: null,
    read: () => ({ limitBytes, usageBytes }),
    use: (share) => void (usageBytes = share * limitBytes),
  }
}
