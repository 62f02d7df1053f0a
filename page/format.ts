// Numbers and moments for people. Amounts below each other have the same form.

import { formatAge, formatBytes } from '../src/core/wait.ts'

export { formatAge, formatBytes }

const whole = new Intl.NumberFormat('en')

/** `12,345`; below ten with one decimal place. */
export function formatCount(value: number): string {
  return value !== 0 && Math.abs(value) < 10 && !Number.isInteger(value)
    ? value.toFixed(1)
    : whole.format(Math.round(value))
}

export function formatRate(bytesPerSec: number): string {
  return `${formatBytes(Math.round(bytesPerSec))}/s`
}

export function formatMs(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`
}

export function formatPercent(share: number): string {
  return `${share < 0.1 ? (share * 100).toFixed(1) : Math.round(share * 100)} %`
}

const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })

/** `02:10:55`, in local time. */
export function formatClock(moment: number | string): string {
  return clock.format(new Date(moment))
}

/** `3m20s ago`. */
export function formatAgo(moment: string, now: number): string {
  return `${formatAge(Math.max(0, now - Date.parse(moment)))} ago`
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`
}

/** No number that is not known yet looks like one: 0 would be news. */
export function formatKnown(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? '–' : format(value)
}
