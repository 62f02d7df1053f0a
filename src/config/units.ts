// Durations, sizes and percentages as an operator writes them, and back: `30s`, `64KiB`, `10%`, `off`. A bare
// number is refused: 5 may mean seconds or milliseconds. `off` is infinity, so code that compares needs no
// second case, and 0 never means off.

import type { Parsed } from './words.ts'
import { show } from './words.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** The value of `off`: a bound that is never reached. */
export const OFF = Number.POSITIVE_INFINITY
/** A Node timer of more than 2^31-1 ms (24.8 days) fires at once, so no duration may be longer than this. */
export const MAX_DURATION_MS = 24 * DAY

export interface Range {
  min: number
  max: number
  /** Whether `off` may be written. */
  isOffAllowed: boolean
}

interface Unit {
  name: string
  factor: number
}

/** One kind of quantity: its units and the words of its problems. */
interface Scale {
  /** Smallest first. */
  units: readonly Unit[]
  /** Units that people write instead, in lower case. */
  slips: Readonly<Record<string, string>>
  example: string
  format: (value: number) => string
}

const durations: Scale = {
  units: [
    { name: 'ms', factor: 1 },
    { name: 's', factor: SECOND },
    { name: 'm', factor: MINUTE },
    { name: 'h', factor: HOUR },
    { name: 'd', factor: DAY },
  ],
  slips: {
    msec: 'ms',
    millis: 'ms',
    sec: 's',
    secs: 's',
    second: 's',
    seconds: 's',
    min: 'm',
    mins: 'm',
    minute: 'm',
    minutes: 'm',
    hr: 'h',
    hrs: 'h',
    hour: 'h',
    hours: 'h',
    day: 'd',
    days: 'd',
  },
  example: 'a duration such as 250ms, 30s, 5m or 1h',
  format: formatDuration,
}

const sizes: Scale = {
  units: [
    { name: 'B', factor: 1 },
    { name: 'KiB', factor: 1024 },
    { name: 'MiB', factor: 1024 ** 2 },
    { name: 'GiB', factor: 1024 ** 3 },
  ],
  slips: { k: 'KiB', kb: 'KiB', ki: 'KiB', m: 'MiB', mb: 'MiB', mi: 'MiB', g: 'GiB', gb: 'GiB', gi: 'GiB' },
  example: 'a size such as 512B, 64KiB or 1MiB',
  format: formatSize,
}

const percentages: Scale = {
  units: [{ name: '%', factor: 0.01 }],
  slips: { percent: '%' },
  example: 'a percentage such as 10%',
  format: formatPercent,
}

/** Milliseconds; `off` is infinity. */
export function parseDuration(input: unknown, range: Range): Parsed<number> {
  return parseQuantity(input, range, durations)
}

/** Bytes; `off` is infinity. */
export function parseSize(input: unknown, range: Range): Parsed<number> {
  return parseQuantity(input, range, sizes)
}

/** A fraction: `10%` is 0.1; `off` is 0, a share of nothing. */
export function parsePercent(input: unknown, range: Range): Parsed<number> {
  const parsed = parseQuantity(input, range, percentages)
  return 'value' in parsed && parsed.value === OFF ? { value: 0 } : parsed
}

const quantity = /^(\d{1,15}(?:\.\d{1,6})?) *([A-Za-z]+|%)$/

function parseQuantity(input: unknown, range: Range, scale: Scale): Parsed<number> {
  const got = `got ${show(input)}`
  if (input === 'off') {
    return range.isOffAllowed
      ? { value: OFF }
      : { problem: `${got}, but this bound cannot be off, write ${scale.example}` }
  }
  if (input === false || input === 'no')
    return {
      problem: range.isOffAllowed ? `${got}, write off to disable it` : `${got}, write ${scale.example}`,
    }
  if (typeof input === 'number') return { problem: `${got}, ${forNumber(input, range, scale)}` }
  if (typeof input !== 'string') return { problem: `${got}, write ${scale.example}` }
  const match = quantity.exec(input)
  if (match === null)
    return {
      problem: `${got}, ${/^[+-]?[0.]+$/.test(input) ? forZero(range, scale) : `write ${scale.example}`}`,
    }
  const [, digits = '', unitName = ''] = match
  const unit = scale.units.find((one) => one.name === unitName)
  if (unit === undefined || input.includes(' ')) {
    const folded = unitName.toLowerCase()
    const meant =
      unit ?? scale.units.find(({ name }) => name.toLowerCase() === folded || name === scale.slips[folded])
    return {
      problem:
        meant === undefined ? `${got}, write ${scale.example}` : `${got}, write ${digits}${meant.name}`,
    }
  }
  return inRange(Number(digits), unit, { got, range, scale })
}

function inRange(
  amount: number,
  unit: Unit,
  { got, range, scale }: { got: string; range: Range; scale: Scale },
): Parsed<number> {
  if (amount === 0) return { problem: `${got}, ${forZero(range, scale)}` }
  // Percent keeps its fraction (divided: 95 * 0.01 is not 0.95); milliseconds and bytes are whole, and 1.1 *
  // 1000 is not.
  const value = unit.factor < 1 ? amount / (1 / unit.factor) : Math.round(amount * unit.factor)
  if (value >= range.min && value <= range.max) return { value }
  return {
    problem: `${got}, must be ${scale.format(range.min)} to ${scale.format(range.max)}${range.isOffAllowed ? ', or off' : ''}`,
  }
}

function forZero(range: Range, scale: Scale): string {
  return range.isOffAllowed ? 'write off to disable it' : `must be ${scale.format(range.min)} or more`
}

/** The remedy for a number without a unit: the same number with the unit that was probably meant. */
function forNumber(input: number, range: Range, scale: Scale): string {
  if (input === 0) return forZero(range, scale)
  if (!Number.isSafeInteger(input) || input < 0) return `write ${scale.example}`
  if (scale === durations) return `write a duration such as ${input}s`
  if (scale === sizes) return `write a size such as ${formatSize(input)}`
  return `write a percentage such as ${input}%`
}

/** `90000` is `90s`, infinity is `off`: the largest unit that gives it exactly. */
export function formatDuration(ms: number): string {
  return formatWith(durations.units, ms)
}

/** `65536` is `64KiB`, infinity is `off`. */
export function formatSize(bytes: number): string {
  return formatWith(sizes.units, bytes)
}

/** `0.1` is `10%`, zero is `off`. */
export function formatPercent(fraction: number): string {
  return fraction === 0 ? 'off' : `${Number((fraction * 100).toFixed(6))}%`
}

function formatWith(units: readonly Unit[], value: number): string {
  if (value === OFF) return 'off'
  const unit = units.findLast((one) => value >= one.factor && value % one.factor === 0) ?? units[0]
  return unit === undefined ? String(value) : `${value / unit.factor}${unit.name}`
}
