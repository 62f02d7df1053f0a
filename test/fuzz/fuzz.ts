// Valid streams with a few bytes changed, for as long as you like: `npm run fuzz -- --for 1h`. Each case
// follows from its seed, and a failure prints it: `npm run fuzz -- --seed 123` repeats that case.

import { parseArgs } from 'node:util'
import { gateCases } from './gate-cases.ts'
import { h2Cases } from './h2-cases.ts'
import { parts } from './parts.ts'
import { chanceOf } from './random.ts'
import type { Chance } from './random.ts'

const units: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000 }
/** One case in so many goes through whole gates. */
const GATE_SHARE = 20
/** Of one failure; its seed has the rest. */
const MAX_WORDS = 3000

const { values } = parseArgs({
  options: { for: { type: 'string', default: '1m' }, seed: { type: 'string' } },
})
const [, amount, unit] = /^([0-9]+)([smh])$/.exec(values.for) ?? []
if (amount === undefined) throw new Error('--for takes 30s, 5m, 1h')
const ends = performance.now() + Number(amount) * units[unit!]!
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)

const ofHttp1 = await gateCases()
const ofHttp2 = await h2Cases()
const cases = [...ofHttp1.cases, ...ofHttp2.cases]
const all: ReadonlyArray<readonly [string, (chance: Chance) => unknown]> = [...parts, ...cases]
const counts = new Map<string, number>()
let failed = 0

async function runOne(seed: number): Promise<void> {
  const chance = chanceOf(seed)
  const [name, run] = chance.pick(chance.oneIn(GATE_SHARE) ? cases : all.slice(0, parts.length))
  counts.set(name, (counts.get(name) ?? 0) + 1)
  try {
    await run(chance)
  } catch (error) {
    failed++
    console.error(`\n--seed ${seed} (${name}): ${(error as Error).message.slice(0, MAX_WORDS)}`)
  }
}

process.on('uncaughtException', (error) => {
  failed++
  console.error('\nuncaught:', error)
})
console.log(`seeds from ${first}`)
if (values.seed !== undefined) await runOne(first)
else for (let seed = first; performance.now() < ends && failed < 20; seed++) await runOne(seed % 2 ** 31)
await ofHttp1.stop()
await ofHttp2.stop()
console.log(
  [...counts].map(([name, count]) => `${name}: ${count}`).join(', '),
  failed === 0 ? '' : `\n${failed} failed`,
)
process.exitCode = failed === 0 ? 0 : 1
