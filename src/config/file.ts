// The bytes of a configuration file, which may be anything, in bounded memory. Of what they mean this knows nothing: a gate that
// runs does without all that does (source.ts).

import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import { ConfigError } from '../errors.ts'
import { formatSize } from './units.ts'

/** A ConfigMap holds no more. */
export const MAX_FILE_BYTES = 1024 * 1024

export function tooLarge(file: string): ConfigError {
  return new ConfigError(file, [{ line: 0, column: 0, path: '', message: `is larger than ${formatSize(MAX_FILE_BYTES)}` }])
}

/** At most one byte more than may be, whatever the file is: `/dev/zero` has no end. */
export async function readBounded(file: string): Promise<Buffer> {
  try {
    await using handle = await open(file)
    const buffer = Buffer.alloc(MAX_FILE_BYTES + 1)
    let length = 0
    while (length < buffer.length) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
      if (bytesRead === 0) break
      length += bytesRead
    }
    if (length > MAX_FILE_BYTES) throw tooLarge(file)
    return Buffer.from(buffer.subarray(0, length))
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(file, [{ line: 0, column: 0, path: '', message: unreadable(error as NodeJS.ErrnoException) }])
  }
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
  throw new ConfigError(file, [{ line, column: 1, path: '', message: 'this line is not UTF-8, save the file as UTF-8' }])
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
