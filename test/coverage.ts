// `npm run coverage`: the lines of the rooms on the path that the tests run, with a floor for each room. The unit
// ring and the wire tests that walk those rooms run with V8's own counters; `npm test` decides whether they pass.
// c8 makes the report. With `--unit` only the unit ring runs, which must pass, with one floor for all rooms.

import { spawn } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const ROOMS = 'src/{pair,limits,http1,http2,websocket,admission,core}/**'
const isUnitAlone = process.argv.includes('--unit')
/** Percent of the lines. */
const FLOOR = isUnitAlone ? 94 : 98
const walks = 'test/wire/{http,h2,grpc,websocket,tls}-*.test.ts'
/** Long tests that run no line which the others miss. */
const long = 'test/wire/{http-odd-framings,websocket-pings-spare,websocket-services-that-fall}*'
const others = ['test/wire/gate-proxy-protocol.test.ts', 'test/wire/upstream-proxy-protocol.test.ts']

const counters = mkdtempSync(join(tmpdir(), 'sidegate-coverage-'))
try {
  if (isUnitAlone) {
    const halves = ['1/2', '2/2'].map((half) => node(['test/unit.ts', half], 'inherit', counters))
    const failed = Math.max(...(await Promise.all(halves)))
    process.exitCode = (await report()) || failed
  } else {
    await runAll(['test/unit.ts', ...globSync(walks, { exclude: [long] }).toSorted(), ...others])
    process.exitCode = await report()
  }
} finally {
  rmSync(counters, { recursive: true })
}

/** Several at a time: a wire test mostly waits. */
async function runAll(files: string[]): Promise<void> {
  const next = files.values()
  const worker = async (): Promise<void> => {
    for (const file of next) await node([file], 'ignore', counters)
  }
  await Promise.all(Array.from({ length: 3 * availableParallelism() }, worker))
}

async function report(): Promise<number> {
  const reporters = ['--reporter', 'text', '--reporter', 'json-summary', '--reports-dir', counters]
  const how = ['--temp-directory', counters, '--include', ROOMS, ...reporters]
  const code = await node(['node_modules/c8/bin/c8.js', 'report', ...how], 'inherit')
  return code === 0 && areAbove(join(counters, 'coverage-summary.json')) ? 0 : 1
}

type Lines = { total: number; covered: number }

/** Names each room below the floor. */
function areAbove(summary: string): boolean {
  const files = JSON.parse(readFileSync(summary, 'utf8')) as Record<string, { lines: Lines }>
  const rooms: Record<string, Lines> = {}
  for (const [file, { lines }] of Object.entries(files)) {
    if (file === 'total') continue
    const name = isUnitAlone ? 'all rooms' : relative('src', file).split('/')[0]!
    const room = (rooms[name] ??= { total: 0, covered: 0 })
    room.total += lines.total
    room.covered += lines.covered
  }
  const below = Object.entries(rooms).filter(([, { total, covered }]) => (100 * covered) / total < FLOOR)
  for (const [name, { total, covered }] of below)
    process.stderr.write(
      `${name}: ${((100 * covered) / total).toFixed(2)} % of the lines, below ${FLOOR} %\n`,
    )
  return below.length === 0
}

function node(args: string[], stdio: 'ignore' | 'inherit', counted?: string): Promise<number> {
  const env = { ...process.env, NODE_V8_COVERAGE: counted, TAP: '1' }
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', stdio, stdio], timeout: 600_000 })
  return new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)))
}
