// A memory gauge that a test sets: a container of 100 MiB, with as much used as the test says.

import type { MemoryGauge } from '../../src/overload/memory.ts'

export interface TestMemory extends MemoryGauge {
  /** Sets the used share of the limit, from the next look on. */
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
