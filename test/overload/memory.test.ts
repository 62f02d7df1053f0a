import { test } from 'tap'
import { memoryGauge } from '../../src/overload/memory.ts'
import type { Machine } from '../../src/overload/memory.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const UNLIMITED_V1 = '9223372036854771712'
const v1Mounts =
  '23 1 0:1 / / rw - ext4 /dev/vda rw\n31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n'
const v2Mounts =
  '23 1 0:1 / / rw - ext4 /dev/vda rw\n30 23 0:26 / /sys/fs/cgroup ro,nosuid master:1 - cgroup2 cgroup rw,nsdelegate\n'

interface Fake extends Machine {
  files: Record<string, string>
}

function machine(files: Record<string, string>): Fake {
  return {
    files,
    readFile: (path) => files[path] ?? null,
    totalBytes: 16 * GIB,
    residentBytes: () => 75 * MIB,
  }
}

const v2 = (path: string, max: string, current = 100 * MIB, inactive = 30 * MIB): Record<string, string> => ({
  [`/sys/fs/cgroup${path}/memory.max`]: `${max}\n`,
  [`/sys/fs/cgroup${path}/memory.current`]: `${current}\n`,
  [`/sys/fs/cgroup${path}/memory.stat`]: `anon 1\nfile 2\nactive_file 3\ninactive_file ${inactive}\n`,
})

const v1 = (path: string, limit: string, hierarchical = UNLIMITED_V1): Record<string, string> => ({
  [`/sys/fs/cgroup/memory${path}/memory.limit_in_bytes`]: `${limit}\n`,
  [`/sys/fs/cgroup/memory${path}/memory.usage_in_bytes`]: `${100 * MIB}\n`,
  [`/sys/fs/cgroup/memory${path}/memory.stat`]: `inactive_file 7\nhierarchical_memory_limit ${hierarchical}\ntotal_inactive_file ${30 * MIB}\n`,
})

test('cgroup v2: the limit of the container, and the usage less the cache that goes first', (t) => {
  const gauge = memoryGauge(
    machine({
      '/proc/self/mountinfo': v2Mounts,
      '/proc/self/cgroup': '0::/\n',
      ...v2('', String(256 * MIB)),
    }),
  )
  t.equal(gauge.cgroup, '/sys/fs/cgroup')
  t.same(gauge.read(), { limitBytes: 256 * MIB, usageBytes: 70 * MIB })
  t.end()
})

test('cgroup v2: memory.high counts where it is lower, and max is no limit', (t) => {
  const files: Record<string, string> = {
    '/proc/self/mountinfo': v2Mounts,
    '/proc/self/cgroup': '0::/\n',
    ...v2('', 'max'),
    '/sys/fs/cgroup/memory.high': `${200 * MIB}\n`,
  }
  t.same(memoryGauge(machine(files)).read(), { limitBytes: 200 * MIB, usageBytes: 70 * MIB })
  files['/sys/fs/cgroup/memory.max'] = `${128 * MIB}\n`
  t.equal(memoryGauge(machine(files)).read().limitBytes, 128 * MIB)
  t.end()
})

test('of nested cgroups the one with the lowest limit counts, with all that is in it', (t) => {
  const base = { '/proc/self/mountinfo': v2Mounts, '/proc/self/cgroup': '0::/kubepods/pod1/app\n' }
  const outer = memoryGauge(
    machine({
      ...base,
      ...v2('/kubepods', 'max'),
      ...v2('/kubepods/pod1', String(300 * MIB), 250 * MIB),
      ...v2('/kubepods/pod1/app', String(512 * MIB)),
    }),
  )
  t.equal(outer.cgroup, '/sys/fs/cgroup/kubepods/pod1')
  t.same(outer.read(), { limitBytes: 300 * MIB, usageBytes: 220 * MIB })
  const inner = memoryGauge(
    machine({
      ...base,
      ...v2('/kubepods/pod1', String(512 * MIB)),
      ...v2('/kubepods/pod1/app', String(300 * MIB)),
    }),
  )
  t.equal(inner.cgroup, '/sys/fs/cgroup/kubepods/pod1/app')
  const equal = memoryGauge(
    machine({
      ...base,
      ...v2('/kubepods/pod1', String(300 * MIB)),
      ...v2('/kubepods/pod1/app', String(300 * MIB)),
    }),
  )
  t.equal(equal.cgroup, '/sys/fs/cgroup/kubepods/pod1', 'the outer of equals holds more')
  t.end()
})

test('cgroup v1, beside a v2 hierarchy that has no memory controller', (t) => {
  const cgroup = '4:memory:/pod/app\n3:cpuset:/\n0::/\n'
  const gauge = memoryGauge(
    machine({
      '/proc/self/mountinfo': v1Mounts,
      '/proc/self/cgroup': cgroup,
      ...v1('', UNLIMITED_V1),
      ...v1('/pod/app', String(256 * MIB)),
    }),
  )
  t.equal(gauge.cgroup, '/sys/fs/cgroup/memory/pod/app')
  t.same(gauge.read(), { limitBytes: 256 * MIB, usageBytes: 70 * MIB })
  t.end()
})

test('cgroup v1: a limit from above that is not visible counts too', (t) => {
  const gauge = memoryGauge(
    machine({
      '/proc/self/mountinfo': v1Mounts,
      '/proc/self/cgroup': '4:memory:/\n',
      ...v1('', UNLIMITED_V1, String(192 * MIB)),
    }),
  )
  t.equal(gauge.read().limitBytes, 192 * MIB)
  t.end()
})

test('a container that sees its cgroup as the root, by a path of the host, finds it', (t) => {
  const mounts = '35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n'
  for (const own of ['/docker/abc', '/', '/../abc', '/docker/abcdef']) {
    const gauge = memoryGauge(
      machine({
        '/proc/self/mountinfo': mounts,
        '/proc/self/cgroup': `9:memory:${own}\n`,
        ...v1('', String(256 * MIB)),
      }),
    )
    t.equal(gauge.cgroup, '/sys/fs/cgroup/memory', own)
  }
  const below = memoryGauge(
    machine({
      '/proc/self/mountinfo': mounts,
      '/proc/self/cgroup': '9:memory:/docker/abc/inner\n',
      ...v1('', UNLIMITED_V1),
      ...v1('/inner', String(256 * MIB)),
    }),
  )
  t.equal(below.cgroup, '/sys/fs/cgroup/memory/inner')
  t.end()
})

test('without a limit, or with one beyond the machine, our own resident memory counts against the machine', (t) => {
  const none: Record<string, string>[] = [
    {},
    { '/proc/self/mountinfo': v2Mounts, '/proc/self/cgroup': '0::/\n' },
    { '/proc/self/mountinfo': v2Mounts, '/proc/self/cgroup': '0::/\n', ...v2('', 'max') },
    { '/proc/self/mountinfo': v2Mounts, '/proc/self/cgroup': '0::/\n', ...v2('', String(17 * GIB)) },
    { '/proc/self/mountinfo': v1Mounts, '/proc/self/cgroup': '4:memory:/\n', ...v1('', UNLIMITED_V1) },
    { '/proc/self/mountinfo': 'nonsense\n\n- - -', '/proc/self/cgroup': 'nonsense' },
  ]
  for (const files of none) {
    const gauge = memoryGauge(machine(files))
    t.equal(gauge.cgroup, null)
    t.same(gauge.read(), { limitBytes: 16 * GIB, usageBytes: 75 * MIB })
  }
  t.end()
})

test('a pod that is resized in place has its new limit with the next look', (t) => {
  const fake = machine({
    '/proc/self/mountinfo': v2Mounts,
    '/proc/self/cgroup': '0::/\n',
    ...v2('', String(256 * MIB)),
  })
  const gauge = memoryGauge(fake)
  fake.files['/sys/fs/cgroup/memory.max'] = `${512 * MIB}\n`
  t.equal(gauge.read().limitBytes, 512 * MIB)
  fake.files['/sys/fs/cgroup/memory.max'] = 'max\n'
  t.equal(gauge.read().limitBytes, 16 * GIB, 'clamped by the machine')
  t.end()
})

test('files that cannot be read any more are made up for by what the process knows', (t) => {
  const fake = machine({
    '/proc/self/mountinfo': v2Mounts,
    '/proc/self/cgroup': '0::/\n',
    ...v2('', String(256 * MIB)),
  })
  const gauge = memoryGauge(fake)
  delete fake.files['/sys/fs/cgroup/memory.stat']
  t.same(gauge.read(), { limitBytes: 256 * MIB, usageBytes: 100 * MIB }, 'the cache is not known')
  delete fake.files['/sys/fs/cgroup/memory.current']
  t.same(gauge.read(), { limitBytes: 16 * GIB, usageBytes: 75 * MIB })
  t.end()
})

test('usage is never below nothing', (t) => {
  const files = {
    '/proc/self/mountinfo': v2Mounts,
    '/proc/self/cgroup': '0::/\n',
    ...v2('', String(256 * MIB), 10 * MIB, 11 * MIB),
  }
  t.equal(memoryGauge(machine(files)).read().usageBytes, 0)
  t.end()
})

test('this machine tells something that makes sense', (t) => {
  const { limitBytes, usageBytes } = memoryGauge().read()
  t.ok(usageBytes > 10 * MIB && usageBytes < limitBytes, `${usageBytes} of ${limitBytes}`)
  t.end()
})

test('with no descriptor left, when nothing can be read, the last reading holds', (t) => {
  const contained = machine({
    '/proc/self/mountinfo': v2Mounts,
    '/proc/self/cgroup': '0::/\n',
    ...v2('', String(256 * MIB)),
  })
  const bare = machine({})
  for (const [it, before] of [
    [contained, { limitBytes: 256 * MIB, usageBytes: 70 * MIB }],
    [bare, { limitBytes: 16 * GIB, usageBytes: 75 * MIB }],
  ] as const) {
    const gauge = memoryGauge(it)
    t.same(gauge.read(), before)
    it.files = {}
    it.residentBytes = () => null
    t.same(gauge.read(), before)
  }
  t.end()
})
