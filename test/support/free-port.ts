// Ports for programs that cannot listen on port 0. Test files run side by side, and a port is drawn seconds before a program listens on it:
// each is reserved in a file that all processes see, until the process that drew it ends.

import { randomInt } from 'node:crypto'
import { mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Below the range that the kernel gives to outgoing connections: none of them takes a port meanwhile. */
const FIRST = 20_000
const COUNT = 12_000
/** A process that was killed leaves its files; no test runs so long. */
const FORGOTTEN_MS = 1_800_000

const directory = join(tmpdir(), `sidegate-ports-${process.getuid?.() ?? 0}`)
const reserved: string[] = []
process.once('exit', () => {
  for (const file of reserved) rmSync(file, { force: true })
})

/** A port that was free a moment ago, and that no other test process draws while this one lives. */
export function freePort(): number {
  mkdirSync(directory, { recursive: true })
  for (let tries = 0; tries < 1000; tries++) {
    const port = FIRST + randomInt(COUNT)
    if (reserve(join(directory, String(port))) && isFree(port)) return port
  }
  throw new Error('no port is free')
}

function reserve(file: string): boolean {
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    removeForgotten(file)
    return false
  }
  reserved.push(file)
  return true
}

function removeForgotten(file: string): void {
  const { mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: Infinity }
  if (Date.now() - mtimeMs > FORGOTTEN_MS) rmSync(file, { force: true })
}

function isFree(port: number): boolean {
  try {
    new net.BoundSocket({ host: '127.0.0.1', port }).close()
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    return false
  }
}
