import { test } from 'tap'
import { heapMbOf, tellWorkers, workersOf } from '../../src/operator/workers.ts'
import type { Room } from '../../src/operator/workers.ts'
import { readCpuLimit } from '../../src/overload/cpu-limit.ts'

const MIB = 1024 * 1024

const GIB = 1024 * MIB
const roomOf =
  (room: Partial<Room> = {}): (() => Room) =>
  () => ({
    platform: 'linux',
    cpuLimit: null,
    cores: 2,
    memoryBytes: 256 * GIB,
    isMemoryLimited: false,
    ...room,
  })

test('auto is the CPU limit rounded up, or else the cores; at least one, at most 64, and as many as have memory', (t) => {
  const table: [Partial<Room>, number][] = [
    [{ cpuLimit: 0.5 }, 1],
    [{ cpuLimit: 1 }, 1],
    [{ cpuLimit: 1.1 }, 2],
    [{ cpuLimit: 100 }, 64],
    [{ cpuLimit: 8, cores: 2 }, 8],
    [{ cores: 8 }, 8],
    [{ cores: 96 }, 64],
    // The shipped sidecar: no CPU limit, and 256 MiB.
    [{ cores: 64, memoryBytes: 256 * MIB }, 2],
    [{ cores: 64, memoryBytes: 128 * MIB }, 1],
    [{ cores: 64, memoryBytes: 64 * MIB }, 1],
    [{ cores: 64, memoryBytes: GIB }, 8],
    [{ cores: 2, memoryBytes: GIB }, 2],
    [{ cpuLimit: 8, memoryBytes: 256 * MIB }, 2],
    [{ platform: 'darwin', cores: 8 }, 1],
  ]
  for (const [room, workers] of table) t.equal(workersOf('auto', roomOf(room)), workers, JSON.stringify(room))
  t.equal(workersOf(3, roomOf({ cpuLimit: 1, memoryBytes: 64 * MIB })), 3, 'what is written counts')
  t.ok(workersOf('auto') >= 1)
  t.end()
})

test('the start says what auto has chosen, and warns where the cores are not those of the container', (t) => {
  const said: unknown[] = []
  const log = {
    info: (message: string, fields?: object) => void said.push(['info', message, fields]),
    warn: (message: string, fields?: object) => void said.push(['warn', message, fields]),
  }
  const of = (configured: number | 'auto', room: Partial<Room> = {}) => {
    said.length = 0
    tellWorkers(configured, log, roomOf(room))
    return said[0]
  }
  t.same(of('auto', { cores: 4 }), ['info', 'workers', { workers: 4, because: '4 cores of the machine' }])
  t.same(of('auto', { cpuLimit: 1.5 }), ['info', 'workers', { workers: 2, because: 'CPU limit 1.5' }])
  const container = { isMemoryLimited: true, memoryBytes: 256 * MIB }
  t.same(of('auto', { ...container, cpuLimit: 4 }), [
    'info',
    'workers',
    { workers: 2, because: 'CPU limit 4, memory of 256 MiB' },
  ])
  t.match(of('auto', { ...container, cores: 64 }), [
    'warn',
    'workers for a machine, not for this container',
    {
      workers: 2,
      because: '64 cores of the machine, memory of 256 MiB',
      remedy: /write a number, or set a limit/,
    },
  ])
  t.match(of('auto', { cores: 96 }), ['info', 'workers', { workers: 64, because: '96 cores of the machine' }])
  t.match(of('auto', { platform: 'darwin' }), ['info', 'workers', { workers: 1, because: /on Linux only/ }])
  t.match(of('auto', { ...container, cores: 64, memoryBytes: 64 * MIB }), ['info'], 'one is right anywhere')
  t.equal(of(64, { ...container }), undefined, 'nothing is chosen')
  t.end()
})

test('elsewhere than on Linux more than one are refused with the remedy', (t) => {
  t.equal(workersOf(1, roomOf({ platform: 'darwin' })), 1)
  t.throws(() => workersOf(2, roomOf({ platform: 'darwin' })), {
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
  t.equal(readCpuLimit(files(nested)), 1.5)
  t.equal(readCpuLimit(files({ ...nested, '/sys/fs/cgroup/pod/gate/cpu.max': 'max 100000\n' })), 4)
  t.equal(readCpuLimit(files({ '/proc/self/mountinfo': v2, '/proc/self/cgroup': '0::/\n' })), null)
  t.equal(
    readCpuLimit(
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
