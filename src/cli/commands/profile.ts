// `sidegate profile cpu|heap|snapshot`: profiles a running gate, and writes a file for Chrome's DevTools.

import { createWriteStream } from 'node:fs'
import { lstat, open as openFile, rm } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { formatBytes } from '../../core/wait.ts'
import { adminOptions, ANSWER_MS, findGate, nameOf, open, refused } from './admin-client.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printLine, RefusedError, UsageError } from './usage.ts'

const kinds = { cpu: 'cpuprofile', heap: 'heapprofile', snapshot: 'heapsnapshot' } as const
const defaultSeconds = { cpu: 10, heap: 30, snapshot: 0 } as const
/** A gate with a large heap stands still for seconds before the first byte of a snapshot. */
const SNAPSHOT_MS = 120_000

type Kind = keyof typeof kinds

export async function profile(args: string[]): Promise<number> {
  const options = {
    seconds: { type: 'string' },
    output: { type: 'string', short: 'o' },
    force: { type: 'boolean', default: false },
    worker: { type: 'string' },
  } as const
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: { ...adminOptions, ...options },
  })
  const [word, ...others] = positionals
  if (word === undefined || !Object.hasOwn(kinds, word) || others.length > 0)
    throw new UsageError(
      'profile needs one of cpu, heap, snapshot: sidegate profile cpu [--seconds N] [-o FILE]',
    )
  const kind = word as Kind
  const seconds = readSeconds(values.seconds, kind)
  if (values.force && kind !== 'snapshot')
    throw new UsageError('--force is for profile snapshot: the others need hardly any memory')
  const gate = await findGate(values)
  const query = queryOf({ kind, seconds, isForced: values.force, worker: readWorker(values.worker) })
  if (process.stderr.isTTY)
    process.stderr.write(kind === 'snapshot' ? 'taking a snapshot...\n' : `profiling for ${seconds} s...\n`)
  const answerMs = kind === 'snapshot' ? SNAPSHOT_MS : seconds * 1000 + ANSWER_MS
  const response = await open(gate, `/debug/${kinds[kind]}${query}`, { method: 'POST', answerMs })
  if (response.statusCode !== 200)
    throw refused(gate, { status: response.statusCode ?? 0, body: await textOf(response) })
  const file = values.output ?? (await placeFor(fileNameOf(response, kind)))
  const length = await save(response, file, nameOf(gate))
  if (file !== '-') printLine(`${file}: ${formatBytes(length)}`)
  return OK
}

function readSeconds(text: string | undefined, kind: Kind): number {
  if (text === undefined) return defaultSeconds[kind]
  if (kind === 'snapshot') throw new UsageError('a snapshot is of one moment, it takes no --seconds')
  if (!/^\d{1,2}$/.test(text) || Number(text) < 1 || Number(text) > 60)
    throw new UsageError('--seconds must be 1 to 60')
  return Number(text)
}

/** Null is the main thread. */
function readWorker(text: string | undefined): string | null {
  if (text === undefined) return null
  if (!/^\d{1,2}$/.test(text)) throw new UsageError('--worker must be the number of a worker, from 0')
  return text
}

function queryOf(asked: { kind: Kind; seconds: number; isForced: boolean; worker: string | null }): string {
  const query = new URLSearchParams()
  if (asked.kind !== 'snapshot') query.set('seconds', String(asked.seconds))
  if (asked.isForced) query.set('force', '1')
  if (asked.worker !== null) query.set('worker', asked.worker)
  return query.size === 0 ? '' : `?${query.toString()}`
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of response as AsyncIterable<Buffer>)
    if (text.length < 65_536) text += piece.toString()
  return text
}

/** The gate's name for the file, but never a path: another program might answer. */
function fileNameOf(response: IncomingMessage, kind: Kind): string {
  const name = /filename="([\w.-]+)"/.exec(response.headers['content-disposition'] ?? '')?.[1] ?? ''
  return /^\w/.test(name) ? basename(name) : `sidegate.${kinds[kind]}`
}

/** This folder; where the root is read-only, as in a pod, a folder that a container can write to. */
async function placeFor(name: string): Promise<string> {
  for (const folder of ['', tmpdir(), '/dev/shm']) {
    const file = join(folder, name)
    const handle = await openFile(file, 'w').catch(() => null)
    if (handle === null) continue
    await handle.close()
    return file
  }
  throw new RefusedError(
    'no folder here can be written to: -o - writes to stdout, which a shell can put into a file',
  )
}

/** Removes a profile that is cut short. */
async function save(response: IncomingMessage, file: string, gate: string): Promise<number> {
  let length = 0
  response.on('data', (piece: Buffer) => (length += piece.length))
  const isStdout = file === '-'
  const sink: Writable = isStdout ? process.stdout : createWriteStream(file)
  try {
    await pipeline(response, sink, { end: !isStdout })
  } catch (error) {
    const { code, syscall, message } = error as NodeJS.ErrnoException
    if (syscall === 'open') throw new RefusedError(`cannot write ${JSON.stringify(file)}: ${code}`)
    // Not a pipe, nor /dev/null.
    if (!isStdout && (await lstat(file)).isFile()) await rm(file)
    if (syscall === 'write') throw new RefusedError(`cannot write ${JSON.stringify(file)}: ${code}`)
    throw new RefusedError(`${gate} did not finish the profile: ${message}`)
  }
  return length
}
