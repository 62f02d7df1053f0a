// Limits that are learnt from traffic: from habits of connections, as distributions, to a value for each key
// that would not have touched them. It proposes, and changes nothing.
//
// Outliers are left out: where at most one in a hundred lies beyond an empty stretch of a factor of eight,
// the rest decides, and the proposal would touch the outliers. Without such a stretch the greatest decides.

import { leastOf, noCounts, sumCounts } from '../core/log-counts.ts'
import type { CountsData } from '../core/log-counts.ts'
import type { HabitsData } from '../metrics/habits.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../config/units.ts'
import { adviceKeys } from './advice-keys.ts'
import type { AdviceKey, Unit } from './advice-keys.ts'
import { at } from './config-value.ts'
import type { AdviceItem, AdviceView } from './types.ts'

/** How such a `why` begins. */
export const TOO_LITTLE = 'Too little to go by'
/** Less gives no proposal. */
export const ENOUGH = { ageMs: 86_400_000, events: 10_000 }
/** In classes: a factor of eight. */
const GAP = 12
const FEW = 0.01
const timesInWords: Readonly<Record<number, string>> = {
  2: 'Twice',
  3: 'Three times',
  4: 'Four times',
  5: 'Five times',
}

type Tree = Readonly<Record<string, unknown>>

/**
 * `listener` is that of the configuration in force, as `GET /config` shows it; `now` is wall-clock
 * milliseconds.
 */
export function advise(habits: HabitsData, listener: Tree, now: number, isAnyway: boolean): AdviceView {
  const ageMs = Math.max(0, now - habits.since)
  const protocol = listener['protocol'] === 'tcp' ? 'tcp' : 'http'
  const items = adviceKeys
    .filter((row) => row.protocol === 'both' || row.protocol === protocol)
    .filter(({ isFor }) => isFor === undefined || isFor(listener))
    .map((row) => inPlace(row, listener))
    .map((row) => adviseKey(row, habits, listener, { ageMs: isAnyway ? ENOUGH.ageMs : ageMs, isAnyway }))
  for (const item of items) leaveOutWhatNeverActs(item, items)
  return { listener: habits.listener, since: new Date(habits.since).toISOString(), ageMs, items }
}

/** A limit for each client is learnt from the habits of each client; other keys may bound the proposal. */
function inPlace(row: AdviceKey, listener: Tree): AdviceKey {
  const isPerClient = at(listener, row.key.replace(/\.\w+$/, '.per')) === 'client'
  const bound = (key: string | undefined, otherwise: number): number =>
    key === undefined ? otherwise : (numberOf(row.unit, textOf(at(listener, key))) ?? otherwise)
  return {
    ...row,
    ...(isPerClient ? row.perClient : {}),
    least: Math.max(row.least, bound(row.notBelow, 0)),
    most: Math.min(row.most, bound(row.notAbove, Number.POSITIVE_INFINITY)),
  }
}

/** A deadline as long as one for both sides never ends a connection. */
function leaveOutWhatNeverActs(item: AdviceItem, items: readonly AdviceItem[]): void {
  const row = adviceKeys.find(({ key }) => key === item.key)!
  const other = items.find(({ key }) => key === row.below)
  if (item.proposed === null || other === undefined) return
  const value = numberOf(row.unit, item.proposed)
  const bound = numberOf(row.unit, other.proposed ?? other.inForce)
  if (value === null || bound === null || value < bound) return
  item.why = `${item.why} Nothing is proposed: ${row.below} ends all of them before, with ${other.proposed ?? other.inForce}.`
  item.proposed = null
  item.patch = {}
  item.touched = 0
}

function adviseKey(
  row: AdviceKey,
  habits: HabitsData,
  listener: Tree,
  { ageMs, isAnyway }: { ageMs: number; isAnyway: boolean },
): AdviceItem {
  const counts = row.from.map((name) => habits.counts[name] ?? noCounts).reduce(sumCounts)
  const inForce = at(listener, row.key)
  const item: AdviceItem = {
    key: row.key,
    inForce: textOf(inForce),
    seen: {
      what: row.what,
      unit: row.unit,
      count: counts.count,
      p50: quantile(counts, 0.5),
      p99: quantile(counts, 0.99),
      p999: quantile(counts, 0.999),
      max: counts.max,
    },
    proposed: null,
    patch: {},
    touched: 0,
    why: '',
    unknown: unknownOf(row, habits, textOf(inForce)),
  }
  if (counts.count === 0) return { ...item, why: `There were no ${row.what}.` }
  if (!isAnyway && (ageMs < ENOUGH.ageMs || counts.count < ENOUGH.events))
    return {
      ...item,
      why: `${TOO_LITTLE}: ${counts.count} of ${ENOUGH.events} ${row.what}, ${hours(ageMs)} of 24 h.`,
    }
  return propose(row, counts, item)
}

function propose(row: AdviceKey, counts: CountsData, item: AdviceItem): AdviceItem {
  const body = bodyOf(counts)
  const value = Math.min(row.most, roundUp(row.unit, Math.max(row.least, body.max * row.margin)))
  const touched = above(counts, value)
  const text = written(row.unit, value)
  const isLeast = row.least > body.max * row.margin
  const said = (count: number, most: number): string =>
    row.greatest.replace('{n}', String(count)).replace('{v}', spoken(row.unit, most))
  const far =
    body.beyond === 0
      ? `${said(counts.count, counts.max)}.`
      : `${said(counts.count - body.beyond, body.max)}; ${body.beyond} more went beyond eight times that, and are left out.`
  const isMost = value === row.most && body.max * row.margin > row.most
  const sum = isMost
    ? `More than ${text} is not possible here${row.notAbove === undefined ? '' : `, with ${row.notAbove}`}.`
    : isLeast
      ? `Nothing below ${text} is proposed here.`
      : `${timesInWords[row.margin]!} that, rounded up, is ${text}.`
  const why = `${far} ${sum}`
  const effect =
    touched === 0
      ? `It would have touched none of the ${counts.count}.`
      : `It would have touched ${touched} of the ${counts.count}.`
  const now = numberOf(row.unit, item.inForce)
  const isSame = now !== null && now === value
  return {
    ...item,
    proposed: text,
    touched,
    patch: isSame ? {} : patchOf(row, value),
    why: `${why} ${effect}${isSame ? ' That is the value in force.' : ''}`,
  }
}

function patchOf({ key, unit, burst }: AdviceKey, value: number): Record<string, string | number> {
  const patch: Record<string, string | number> = { [key]: unit === 'count' ? value : written(unit, value) }
  if (burst !== undefined)
    patch[burst.key] =
      unit === 'count' ? Math.max(value, burst.least) : written(unit, Math.max(value, burst.least))
  return patch
}

/** The innocent values: all, except a few outliers. */
function bodyOf({ classes, count, max }: CountsData): { max: number; beyond: number } {
  let beyond = 0
  let empty = 0
  let found = { max, beyond: 0 }
  for (let index = classes.length - 1; index >= 0; index--) {
    const here = classes[index]!
    if (here === 0) {
      empty++
      continue
    }
    if (beyond > 0 && empty >= GAP) found = { max: leastOf(index + 1) - 1, beyond }
    empty = 0
    beyond += here
    if (beyond > FEW * count) break
  }
  return found
}

/** At most so many were greater. */
function above({ classes }: CountsData, value: number): number {
  return classes.reduce((sum, here, index) => (leastOf(index + 1) - 1 > value ? sum + here : sum), 0)
}

/** The end of the class in which that share is reached. */
export function quantile({ classes, count, max }: CountsData, share: number): number {
  let sum = 0
  for (const [index, here] of classes.entries()) {
    sum += here
    if (here > 0 && sum >= share * count) return Math.min(max, leastOf(index + 1) - 1)
  }
  return max
}

function unknownOf(
  { key }: AdviceKey,
  { cuts, delays, quietNow }: HabitsData,
  inForce: string,
): string | null {
  const section = key.replace(/\.(rate|max)$/, '')
  const cut = cuts[section] ?? 0
  const said: string[] = []
  if (cut > 0)
    said.push(
      `${cut === 1 ? '1 connection was' : `${cut} connections were`} ended or refused by ${section} (${inForce} now): what would have come of ${cut === 1 ? 'it' : 'them'} cannot be known.`,
    )
  const delayed = delays[section] ?? 0
  if (delayed > 0)
    said.push(
      `${section} (${inForce} now) made them wait ${delayed === 1 ? 'once' : `${delayed} times`}: how many a second there would have been without it cannot be known.`,
    )
  if (/^deadlines\.(idle|clientIdle|upstreamIdle)$/.test(key) && quietNow.count > 0)
    said.push(
      `Of the ${quietNow.count} open connections one has been quiet for ${spoken('ms', quietNow.max)}; whether it will speak again cannot be known.`,
    )
  return said.length === 0 ? null : said.join(' ')
}

function textOf(inForce: unknown): string {
  return inForce === undefined || inForce === null ? 'not set' : String(inForce)
}

const steps = [
  1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 7200, 14_400, 21_600,
  28_800, 43_200,
]

/**
 * Rounds up to numbers that people write: powers of two of bytes; 1, 2, 5 of counts; round seconds, minutes,
 * hours, days.
 */
function roundUp(unit: Unit, value: number): number {
  if (unit === 'bytes') return 2 ** Math.ceil(Math.log2(value))
  if (unit === 'count') {
    const power = 10 ** Math.floor(Math.log10(value))
    return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value)!
  }
  const seconds = value / 1000
  const step = steps.find((one) => one >= seconds)
  return step === undefined ? Math.ceil(seconds / 86_400) * 86_400_000 : step * 1000
}

function written(unit: Unit, value: number): string {
  return unit === 'ms' ? formatDuration(value) : unit === 'bytes' ? formatSize(value) : String(value)
}

/** For a person: `1.2 s`, `12 KiB`. */
export function spoken(unit: Unit, value: number): string {
  if (unit === 'count') return String(Math.round(value))
  if (unit === 'bytes') {
    const power = value < 1024 ? 0 : value < 1024 ** 2 ? 1 : value < 1024 ** 3 ? 2 : 3
    return `${Number((value / 1024 ** power).toPrecision(3))} ${['B', 'KiB', 'MiB', 'GiB'][power]!}`
  }
  if (value < 1000) return `${Math.round(value)} ms`
  if (value < 120_000) return `${Number((value / 1000).toPrecision(3))} s`
  return value < 7_200_000
    ? `${Number((value / 60_000).toPrecision(3))} min`
    : `${Number((value / 3_600_000).toPrecision(3))} h`
}

function hours(ms: number): string {
  return ms < 3_600_000 ? `${Math.floor(ms / 60_000)} min` : `${Math.floor(ms / 3_600_000)} h`
}

/** The number of a value as the file has it; null for `off`, and for words. */
function numberOf(unit: Unit, text: string): number | null {
  const range = { min: 0, max: Number.POSITIVE_INFINITY, isOffAllowed: true }
  if (unit === 'count') return /^\d+$/.test(text) ? Number(text) : null
  const parsed = unit === 'ms' ? parseDuration(text, range) : parseSize(text, range)
  return 'value' in parsed && Number.isFinite(parsed.value) ? parsed.value : null
}
