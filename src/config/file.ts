// The bytes of a configuration file, which may be anything, in bounded memory. Their meaning is not known
// here: a running gate does without the code for it (source.ts).

import { isUtf8 } from 'node:buffer'
import { MAX_FILE_BYTES, readBounded } from '../files/bounded-file.ts'
import { ConfigError } from '../core/errors.ts'
import { formatSize } from './units.ts'

export function tooLarge(file: string): ConfigError {
  return new ConfigError(file, [
    { line: 0, column: 0, path: '', message: `is larger than ${formatSize(MAX_FILE_BYTES)}` },
  ])
}

/** Throws (rejects with) a ConfigError where the file cannot be read, or is too large. */
export async function readConfigFile(file: string): Promise<Buffer> {
  const content = await readBounded(file).catch((error: NodeJS.ErrnoException) => {
    throw new ConfigError(file, [{ line: 0, column: 0, path: '', message: unreadable(error) }])
  })
  if (content.length > MAX_FILE_BYTES) throw tooLarge(file)
  return content
}

function unreadable(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENOENT') return 'does not exist'
  if (error.code === 'EISDIR') return 'is a directory, not a file'
  if (error.code === 'EACCES' || error.code === 'EPERM') return 'cannot be read: permission denied'
  return `cannot be read: ${error.code ?? error.message}`
}

export function decode(bytes: Buffer, file: string): string {
  if (isUtf8(bytes)) return new TextDecoder().decode(bytes)
  const line = firstBadLine(bytes)
  throw new ConfigError(file, [
    { line, column: 1, path: '', message: 'this line is not UTF-8, save the file as UTF-8' },
  ])
}

function firstBadLine(bytes: Buffer): number {
  let line = 1
  for (let start = 0; start < bytes.length; line++) {
    const newline = bytes.indexOf(0x0a, start)
    const end = newline === -1 ? bytes.length : newline + 1
    if (!isUtf8(bytes.subarray(start, end))) return line
    start = end
  }
  return line
}
