// The files that share processes. The start of a process is most of the time of a short file.

import { globSync } from 'node:fs'

/**
 * Files outside the unit ring: rooms whose tests start programs, render charts or run whole gates, and single files that measure the heap
 * of their process. test/run.ts runs each by itself, but for the wire ring.
 */
export const others = ['test/{alone,cli,deploy,support,system,wire}/**', 'test/admin/debug-routes.test.ts']

/** Wire files with a process each: they measure it, have threads or processes of their own, or take as long as a part of the ring. */
export const apart = [
  'test/wire/workers-*.test.ts',
  'test/wire/{gate-leaks,gate-reload-leaks,gate-messages-can-cross-a-thread,gate-recent,gate-timeline*}.test.ts',
  'test/wire/gate-{reload-deadlines,reload-serves-who-is-there,reloads-lose-no-byte,trickles-do-not-hold-the-budget}.test.ts',
  'test/wire/{innocents,min-rate,control-traffic,deadlines-beside,ends-what}-*.test.ts',
  'test/wire/http-{heads-do-not-outlive,a-stalled-reader,an-answer-that-stalls,bounds-hold,odd-framings,no-answer-takes,no-request}-*.test.ts',
  'test/wire/h2-{least-rates,windows-are-shared,when-memory-runs-short,sessions-end-outside-of-callbacks}.test.ts',
  'test/wire/websocket-{pings,idle-and-lifetime,services-that-fall,upgrades-of-real-clients}*.test.ts',
  'test/wire/{tcp-write-timeout,unix-sockets-and-slow-peers,a-flood-arrives-whole}.test.ts',
]

export interface Group {
  files: string | string[]
  /** Processes for them. */
  parts: number
}

/**
 * Files outside the rings that share processes: their tests start programs, and wait for them. Not those that measure what else runs in
 * their process, or take as long as a part.
 */
export const groups: Readonly<Record<string, Group>> = {
  page: { files: 'test/system/{page-,from-page}*.test.ts', parts: 2 },
  fleet: { files: 'test/system/fleet-!(faults)*.test.ts', parts: 4 },
  peers: {
    files: [
      'test/system/{http-*,http2-*,websocket-*,proxy-*,tls-*,prometheus-*,legacy-*,an-application-*}.test.ts',
      'test/system/{bodies,messages}-arrive-*.test.ts',
    ],
    parts: 5,
  },
  commands: { files: 'test/cli/**/*.test.ts', parts: 3 },
  deploy: { files: 'test/deploy/*.test.ts', parts: 2 },
  support: { files: 'test/support/!(leaks).test.ts', parts: 1 },
}

export function filesOf({ files }: Group): string[] {
  return globSync(files).toSorted()
}

export function unitRing(): string[] {
  return globSync('test/**/*.test.ts', { exclude: others }).toSorted()
}

export function wireRing(): string[] {
  return globSync('test/wire/*.test.ts', { exclude: apart }).toSorted()
}

/** `2/3` is the second, fifth, and so on: neighbours are alike, and as long. */
export function partOf(files: readonly string[], part = '1/1'): string[] {
  const [nth, count] = part.split('/').map(Number) as [number, number]
  return files.filter((_, at) => at % count === nth - 1)
}

/** Loads the files of a part into this process, whose tests then run one after another. */
export async function load(files: readonly string[], part?: string): Promise<void> {
  process.env['TAP_TIMEOUT'] ??= '600'
  for (const file of partOf(files, part)) await import(new URL(`../${file}`, import.meta.url).href)
  // To tap all files are one test, and a file that gives itself two minutes gives them to all. test/run.ts bounds the process.
  const { default: tap } = await import('tap')
  tap.setTimeout(0)
}
