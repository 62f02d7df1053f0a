// A configuration file to a Config, or to a ConfigError that holds everything that is wrong with it.
// `parseConfig` is pure; `loadConfig` adds the reading of a file that may be anything, in bounded memory.

import { isUtf8 } from 'node:buffer'
import { open } from 'node:fs/promises'
import type { ConfigProblem } from '../errors.ts'
import { ConfigError } from '../errors.ts'
import type { Environment } from './interpolate.ts'
import { formatPath } from './path.ts'
import { locate, sorted, validate } from './problems.ts'
import { readYaml } from './reader.ts'
import type { Config } from './schema.ts'
import { formatSize } from './units.ts'
import { riskyValues } from './warnings.ts'

/** A ConfigMap holds no more. */
export const MAX_FILE_BYTES = 1024 * 1024

/** A valid configuration, and what in it is seldom meant. */
export interface Checked {
  config: Config
  warnings: ConfigProblem[]
}

/** Throws a ConfigError with every problem; `fileName` is for messages only. */
export function parseConfig(text: string, fileName: string, env: Environment = {}): Config {
  return checkText(text, fileName, env).config
}

/** Throws (rejects with) a ConfigError where the file cannot be read or used. */
export async function loadConfig(file: string, env: Environment): Promise<Config> {
  return (await checkConfig(file, env)).config
}

/** As `loadConfig`, with the warnings. */
export async function checkConfig(file: string, env: Environment): Promise<Checked> {
  return checkText(decode(await readBounded(file), file), file, env)
}

/** As `parseConfig`, with the warnings, each at its place in the file. */
export function checkText(text: string, fileName: string, env: Environment = {}): Checked {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) throw tooLarge(fileName)
  // YAML allows none of these; the parser would let some through.
  const control = /[^\P{Cc}\t\n\r\u0085]/u.exec(text)
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).padStart(4, '0')
    throw new ConfigError(fileName, [{ ...positionIn(text, control.index), path: '', message: `holds the control character U+${code}, remove it` }])
  }
  const reading = readYaml(text, env)
  const result = validate(reading)
  if ('problems' in result) throw new ConfigError(fileName, result.problems)
  const risky = riskyValues(result.config, (path) => reading.places.has(formatPath(path)))
  return { config: result.config, warnings: sorted(risky.map((finding) => locate(finding, reading))) }
}

/** What is allowed but seldom meant; without positions, for a configuration that came from no file. */
export function warnings(config: Config): ConfigProblem[] {
  return riskyValues(config).map(({ path, message }) => ({ line: 0, column: 0, path: formatPath(path), message }))
}

function positionIn(text: string, index: number): { line: number; column: number } {
  const before = text.slice(0, index).split('\n')
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 }
}

function tooLarge(file: string): ConfigError {
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
    return buffer.subarray(0, length)
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
