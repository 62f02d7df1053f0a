// A configuration file to a Config, or to a ConfigError with all its faults. `parseConfig` is pure;
// `loadConfig` adds reading a file that may be anything, in bounded memory.

import { MAX_FILE_BYTES } from '../files/bounded-file.ts'
import type { ConfigProblem, Places } from '../core/errors.ts'
import { ConfigError } from '../core/errors.ts'
import { decode, readConfigFile, tooLarge } from './file.ts'
import type { Environment } from './interpolate.ts'
import { originsOf } from './origins.ts'
import type { Origins } from './origins.ts'
import type { Path } from './path.ts'
import { formatPath } from './path.ts'
import { openQuestions } from './notes.ts'
import { placesOf } from './places.ts'
import { locate, sorted, validate } from './problems.ts'
import type { Finding } from './finding.ts'
import { readYaml } from './reader.ts'
import type { Config } from './schema.ts'
import { riskyValues } from './warnings.ts'

/** A valid configuration, its values that are seldom meant, and the questions that it leaves open. */
export interface Checked {
  config: Config
  warnings: ConfigProblem[]
  notes: ConfigProblem[]
  /** The origins of values that the file sets. */
  origins: Origins
  /** The places of values, for problems that show once they are used. */
  places: Places
}

/** Throws a ConfigError with every problem; `fileName` is for messages only. */
export function parseConfig(text: string, fileName: string, env: Environment = {}): Config {
  return checkText(text, fileName, env).config
}

/** Throws (rejects with) a ConfigError where the file cannot be read or used. */
export async function loadConfig(file: string, env: Environment): Promise<Config> {
  return (await checkConfig(file, env)).config
}

/** `loadConfig`, with warnings and notes. */
export async function checkConfig(file: string, env: Environment): Promise<Checked> {
  return checkText(decode(await readConfigFile(file), file), file, env)
}

/** `parseConfig`, with warnings and notes, each at its place in the file. */
export function checkText(text: string, fileName: string, env: Environment = {}): Checked {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) throw tooLarge(fileName)
  // YAML allows none of these; the parser would let some through.
  const control = /[^\P{Cc}\t\n\r\u0085]/u.exec(text)
  if (control !== null) {
    const code = control[0].charCodeAt(0).toString(16).padStart(4, '0')
    throw new ConfigError(fileName, [
      {
        ...positionIn(text, control.index),
        path: '',
        message: `holds the control character U+${code}, remove it`,
      },
    ])
  }
  const reading = readYaml(text, env)
  const result = validate(reading)
  if ('problems' in result) throw new ConfigError(fileName, result.problems)
  const { config } = result
  const isWritten = (path: Path): boolean => reading.places.has(formatPath(path))
  const placed = (findings: Finding[]): ConfigProblem[] =>
    sorted(findings.map((finding) => locate(finding, reading)))
  return {
    config,
    warnings: placed(riskyValues(config, isWritten)),
    notes: placed(openQuestions(config, isWritten)),
    origins: originsOf(reading),
    places: placesOf(reading),
  }
}

/** Warnings without positions, for a configuration that came from no file. */
export function warnings(config: Config): ConfigProblem[] {
  return riskyValues(config).map(({ path, message }) => ({
    line: 0,
    column: 0,
    path: formatPath(path),
    message,
  }))
}

function positionIn(text: string, index: number): { line: number; column: number } {
  const before = text.slice(0, index).split('\n')
  return { line: before.length, column: (before.at(-1) ?? '').length + 1 }
}
