import { test } from 'tap'
import { heapMbOf, workersOf } from '../../src/operator/workers.ts'
import { cpuLimit } from '../../src/overload/cpu-limit.ts'

const MIB = 1024 * 1024

test('auto is the CPU limit rounded up, at least one and at most 64', (t) => {
  t.equal(workersOf('auto', 0.5, 'linux'), 1)
  t.equal(workersOf('auto', 1, 'linux'), 1)
  t.equal(workersOf('auto', 1.1, 'linux'), 2)
  t.equal(workersOf('auto', 100, 'linux'), 64)
  t.ok(workersOf('auto', null, 'linux') >= 1, 'without a limit as many as the machine has')
  t.equal(workersOf(3, 1, 'linux'), 3, 'what is written counts')
  t.end()
})

test('elsewhere than on Linux one is right, more are refused with the remedy', (t) => {
  t.equal(workersOf('auto', 4, 'darwin'), 1)
  t.equal(workersOf(1, 4, 'darwin'), 1)
  t.throws(() => workersOf(2, 4, 'darwin'), {
    name: 'ConfigError',
    problems: [{ path: 'workers', message: 'got 2, but threads share a port on Linux only: write 1' }],
  })
  t.end()
})

test('all heaps together have half of the memory, and each enough to start in', (t) => {
  t.equal(heapMbOf(4, 1024 * MIB), 128)
  t.equal(heapMbOf(2, 1024 * MIB), 256)
  t.equal(heapMbOf(8, 256 * MIB), 64)
  t.end()
})

const files =
  (content: Record<string, string>) =>
  (path: string): string | null =>
    content[path] ?? null
const v2 = '30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n'
const v1 = '35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n'

test('the CPU limit is the lowest of those around us', (t) => {
  const nested = {
    '/proc/self/mountinfo': v2,
    '/proc/self/cgroup': '0::/pod/gate\n',
    '/sys/fs/cgroup/pod/cpu.max': '400000 100000\n',
    '/sys/fs/cgroup/pod/gate/cpu.max': '150000 100000\n',
  }
  t.equal(cpuLimit(files(nested)), 1.5)
  t.equal(cpuLimit(files({ ...nested, '/sys/fs/cgroup/pod/gate/cpu.max': 'max 100000\n' })), 4)
  t.equal(cpuLimit(files({ '/proc/self/mountinfo': v2, '/proc/self/cgroup': '0::/\n' })), null)
  t.equal(
    cpuLimit(
      files({
        '/proc/self/mountinfo': v1,
        '/proc/self/cgroup': '4:cpu,cpuacct:/a\n',
        '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us': '-1\n',
        '/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us': '100000\n',
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us': '50000\n',
        '/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us': '100000\n',
      }),
    ),
    0.5,
  )
  t.end()
})
