import { test } from 'tap'
import {
  formatDuration,
  formatPercent,
  formatSize,
  MAX_DURATION_MS,
  OFF,
  parseDuration,
  parsePercent,
  parseSize,
} from '../../src/config/units.ts'

const time = { min: 1, max: MAX_DURATION_MS, isOffAllowed: true }
const bytes = { min: 512, max: 1024 ** 3, isOffAllowed: false }
const share = { min: 0.001, max: 0.5, isOffAllowed: true }

test('durations are read in every unit and written back in the largest that is exact', async (t) => {
  const table: [string, number, string][] = [
    ['1ms', 1, '1ms'],
    ['250ms', 250, '250ms'],
    ['30s', 30_000, '30s'],
    ['90s', 90_000, '90s'],
    ['60s', 60_000, '1m'],
    ['5m', 300_000, '5m'],
    ['1h', 3_600_000, '1h'],
    ['1.5h', 5_400_000, '90m'],
    ['24d', MAX_DURATION_MS, '24d'],
    ['1.005s', 1005, '1005ms'],
    ['off', OFF, 'off'],
  ]
  for (const [text, ms, formatted] of table) {
    t.strictSame(parseDuration(text, time), { value: ms }, text)
    t.equal(formatDuration(ms), formatted)
    t.strictSame(parseDuration(formatDuration(ms), time), { value: ms }, `${text} survives being formatted`)
  }
})

test('what is no duration is answered with one that was probably meant', async (t) => {
  const table: [unknown, string][] = [
    [5, 'got 5, write a duration such as 5s'],
    [0, 'got 0, write off to disable it'],
    ['0', 'got "0", write off to disable it'],
    ['0s', 'got 0s, write off to disable it'],
    [-5, 'got -5, write a duration such as 250ms, 30s, 5m or 1h'],
    [1.5, 'got 1.5, write a duration such as 250ms, 30s, 5m or 1h'],
    [Number.NaN, 'got NaN, write a duration such as 250ms, 30s, 5m or 1h'],
    ['5', 'got "5", write a duration such as 250ms, 30s, 5m or 1h'],
    ['5 s', 'got "5 s", write 5s'],
    ['5min', 'got 5min, write 5m'],
    ['5 Seconds', 'got "5 Seconds", write 5s'],
    ['5S', 'got 5S, write 5s'],
    ['5w', 'got 5w, write a duration such as 250ms, 30s, 5m or 1h'],
    ['1h30m', 'got 1h30m, write a duration such as 250ms, 30s, 5m or 1h'],
    ['-1s', 'got -1s, write a duration such as 250ms, 30s, 5m or 1h'],
    ['0.1ms', 'got 0.1ms, must be 1ms to 24d, or off'],
    ['25d', 'got 25d, must be 1ms to 24d, or off'],
    ['999999999999999d', 'got 999999999999999d, must be 1ms to 24d, or off'],
    [false, 'got false, write off to disable it'],
    [true, 'got true, write a duration such as 250ms, 30s, 5m or 1h'],
    [[], 'got an empty list, write a duration such as 250ms, 30s, 5m or 1h'],
    [{}, 'got a map of keys, write a duration such as 250ms, 30s, 5m or 1h'],
    ['5s\n', 'got "5s\\n", write a duration such as 250ms, 30s, 5m or 1h'],
    ['5s\u0000', 'got "5s\\u0000", write a duration such as 250ms, 30s, 5m or 1h'],
    ['\u202e5s', 'got "\\u202e5s", write a duration such as 250ms, 30s, 5m or 1h'],
  ]
  for (const [input, problem] of table) t.strictSame(parseDuration(input, time), { problem })
})

test('a bound that cannot be off says so', async (t) => {
  t.strictSame(parseDuration('off', { ...time, isOffAllowed: false }), {
    problem: 'got off, but this bound cannot be off, write a duration such as 250ms, 30s, 5m or 1h',
  })
  t.strictSame(parseDuration(0, { ...time, isOffAllowed: false }), { problem: 'got 0, must be 1ms or more' })
})

test('sizes are binary, and a decimal or bare one is answered with the binary unit', async (t) => {
  t.strictSame(parseSize('512B', bytes), { value: 512 })
  t.strictSame(parseSize('64KiB', bytes), { value: 65_536 })
  t.strictSame(parseSize('1.5MiB', bytes), { value: 1_572_864 })
  t.strictSame(parseSize('1GiB', bytes), { value: 1024 ** 3 })
  t.strictSame(parseSize(65_536, bytes), { problem: 'got 65536, write a size such as 64KiB' })
  t.strictSame(parseSize(1000, bytes), { problem: 'got 1000, write a size such as 1000B' })
  t.strictSame(parseSize('64KB', bytes), { problem: 'got 64KB, write 64KiB' })
  t.strictSame(parseSize('64k', bytes), { problem: 'got 64k, write 64KiB' })
  t.strictSame(parseSize('1M', bytes), { problem: 'got 1M, write 1MiB' })
  t.strictSame(parseSize('511B', bytes), { problem: 'got 511B, must be 512B to 1GiB' })
  t.strictSame(parseSize('2GiB', bytes), { problem: 'got 2GiB, must be 512B to 1GiB' })
  t.equal(formatSize(65_536), '64KiB')
  t.equal(formatSize(1500), '1500B')
  t.equal(formatSize(OFF), 'off')
})

test('percentages are fractions, and off is none', async (t) => {
  t.strictSame(parsePercent('10%', share), { value: 0.1 })
  t.strictSame(parsePercent('off', share), { value: 0 })
  t.strictSame(parsePercent(10, share), { problem: 'got 10, write a percentage such as 10%' })
  t.strictSame(parsePercent('10', share), { problem: 'got "10", write a percentage such as 10%' })
  t.strictSame(parsePercent('51%', share), { problem: 'got 51%, must be 0.1% to 50%, or off' })
  t.strictSame(parsePercent('0%', share), { problem: 'got 0%, write off to disable it' })
  t.equal(formatPercent(0.1), '10%')
  t.equal(formatPercent(0), 'off')
})
