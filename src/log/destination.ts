// The destination of log lines, chosen by the kind of descriptor 1. A Destination takes one batch at a time
// and reports when it is written; it never blocks and never throws. LogWriter bounds how much may wait for
// it.

import { fstatSync, write } from 'node:fs'
import { isatty } from 'node:tty'
import type { Writable } from 'node:stream'

export interface Destination {
  /**
   * Takes the batch and calls `done` once, when it is written (null) or lost. Only then comes the next call.
   */
  write(batch: string, done: (error: Error | null) => void): void
}

/** The standard output, by the means that suits it. */
export function stdoutDestination(): Destination {
  if (isatty(1)) return terminalDestination(process.stdout)
  return isStream(1) ? streamDestination(process.stdout) : fileDestination(1)
}

function isStream(fd: number): boolean {
  try {
    const stat = fstatSync(fd)
    return stat.isFIFO() || stat.isSocket()
  } catch {
    return false
  }
}

/**
 * Pipes and sockets, which the event loop polls. The thread pool must not write them: a thread stuck in
 * write(2) on a full pipe cannot be interrupted, and the process waits for it at its exit.
 */
export function streamDestination(stream: Writable): Destination {
  // The callback of each write gets the same error; without a listener EPIPE would end the process.
  stream.on('error', () => {})
  return {
    write: (batch, done) => void stream.write(batch, (error) => done(error ?? null)),
  }
}

/**
 * Node makes terminals blocking, so a held one (Ctrl-S, or a container runtime that does not read its pty)
 * would stop the whole process: seen with Node 26.10. Node itself calls `_handle.setBlocking`, which is
 * undocumented; a Node without it keeps the blocking terminal, which only concerns debugging sessions.
 */
function terminalDestination(stream: Writable): Destination {
  const handle = (stream as { _handle?: { setBlocking?: (blocking: boolean) => unknown } })._handle
  handle?.setBlocking?.(false)
  return streamDestination(stream)
}

/**
 * Files and devices are always "ready" to poll(2), so only the thread pool keeps a slow disk from stopping
 * the loop; `process.stdout` would write them synchronously.
 */
export function fileDestination(fd: number): Destination {
  return {
    write(batch, done) {
      writeAll(fd, Buffer.from(batch), 0, done)
    },
  }
}

function writeAll(fd: number, bytes: Buffer, offset: number, done: (error: Error | null) => void): void {
  write(fd, bytes, offset, bytes.length - offset, null, (error, written) => {
    if (error !== null) done(error)
    else if (offset + written < bytes.length) writeAll(fd, bytes, offset + written, done)
    else done(null)
  })
}
