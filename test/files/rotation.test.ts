import { test } from 'tap'
import type { Test } from 'tap'
import { Rotation } from '../../src/files/rotation.ts'
import type { TlsFileProblem } from '../../src/files/tls-files.ts'
import { objections, validFrom } from '../../src/files/renewal.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import type { Authority, Mounted } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'

const DAY_MS = 86_400_000

test('what is valid is not given up for what is not; what is not valid is, for anything', async (t) => {
  const [valid, expired, later] = [
    { from: 0, to: 100 },
    { from: 0, to: 50 },
    { from: 60, to: 100 },
  ]
  const shown = (leaf: typeof valid | null) => ({ leaf, authorities: [] })
  const trusted = (...authorities: Array<typeof valid>) => ({ leaf: null, authorities })
  const files = (next: Parameters<typeof objections>[0], used: Parameters<typeof objections>[1], now = 50) =>
    objections(next, used, now).map(({ file }) => file)
  t.same(files(shown(expired), shown(valid)), ['cert'], 'at the moment of its end it has expired')
  t.same(files(shown(expired), shown(valid), 49), [])
  t.same(files(shown(later), shown(valid), 59), ['cert'])
  t.same(files(shown(later), shown(valid), 60), [])
  t.same(files(shown(expired), shown(expired)), [])
  t.same(files(shown(expired), null), [], 'at start')
  t.same(files(shown(null), shown(valid)), [], 'none is configured')
  t.same(files(trusted(expired, later), trusted(valid)), ['ca'])
  t.same(files(trusted(expired, valid), trusted(valid)), [], 'a bundle may hold old ones')
  t.same(files(trusted(expired), trusted(expired)), [])
  t.equal(validFrom(shown(later), 59), 60)
  t.equal(validFrom(shown(later), 60), null)
  t.equal(validFrom(trusted(valid, later), 10), 60)
  t.end()
})

/** The watch of files uses that clock. */
function passing(clock: ReturnType<typeof fakeClock>, isSo: () => boolean): Promise<unknown> {
  return eventually(async () => {
    await clock.pass(50)
    return isSo()
  })
}

interface Rotated {
  mounted: Mounted
  ca: Authority
  clock: ReturnType<typeof fakeClock>
  told: Array<readonly TlsFileProblem[]>
  used: string[]
}

async function rotated(t: Test): Promise<Rotated> {
  const ca = authority(t)
  const mounted = mountedSecret(t, ca.issue('first'))
  const clock = fakeClock({ wall: Date.now() })
  const told: Array<readonly TlsFileProblem[]> = []
  const used: string[] = []
  const use = ({ cert }: { cert: Buffer | null }): void => void used.push(String(cert))
  const rotation = new Rotation({
    files: { cert: mounted.cert, key: mounted.key, ca: null },
    clock,
    use,
    onReloaded: (problems) => void told.push(problems),
  })
  t.teardown(() => rotation.stop())
  t.same(await rotation.start(), [])
  return { mounted, ca, clock, told, used }
}

test('a certificate that is not valid yet is told of, and taken when it is', async (t) => {
  const { mounted, ca, clock, told, used } = await rotated(t)
  mounted.swap(
    ca.issue('later', {
      from: new Date(clock.wall() + 2 * 3600_000),
      to: new Date(clock.wall() + 20 * DAY_MS),
    }),
  )
  await passing(clock, () => told.length === 1)
  t.match(told, [[{ file: 'cert', message: /^is not valid before \d+-.*: it is tried again then$/ }]])
  t.equal(used.length, 1)
  await clock.pass(2 * 3600_000 - 60_000)
  t.equal(told.length, 1)
  await clock.pass(62_000)
  await passing(clock, () => told.length === 2)
  t.same(told[1], [])
  t.equal(used.length, 2)
})

test('a good certificate in the place of one that was waited for ends the wait', async (t) => {
  const { mounted, ca, clock, told, used } = await rotated(t)
  mounted.swap(
    ca.issue('later', {
      from: new Date(clock.wall() + 2 * 3600_000),
      to: new Date(clock.wall() + 20 * DAY_MS),
    }),
  )
  await passing(clock, () => told.length === 1)
  mounted.swap(ca.issue('good'))
  await passing(clock, () => used.length === 2)
  await passing(clock, () => clock.armed.after === 0)
})
