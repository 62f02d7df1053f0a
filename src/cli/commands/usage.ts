// What the commands share: the two complaints that are theirs, and printing that a terminal survives.

import { parseArgs } from 'node:util'
import { OK } from '../exit-codes.ts'

/** The words that were given make no command. */
export class UsageError extends Error {}

/** The gate that was asked is not there, or said no; the message says what to do. */
export class RefusedError extends Error {}

/** `parseArgs`, whose complaints are usage errors. */
export const parse: typeof parseArgs = (config) => {
  try {
    return parseArgs(config)
  } catch (error) {
    const isUsage = error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
    throw isUsage ? new UsageError((error.message.split('. ')[0] ?? '').replace(/^./, (first) => first.toLowerCase())) : error
  }
}

/** Controls (an escape sequence could do what its sender likes with a terminal), separators, marks that turn a line around. */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu

export function safe(text: string): string {
  return text.replaceAll(unprintable, escapeChar)
}

function escapeChar(char: string): string {
  // By UTF-16 units, so that it is an escape of JSON as well.
  return char.split('').map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
}

export function printLine(text: string): void {
  process.stdout.write(`${safe(text)}\n`)
}

/** JSON on several lines, in which nothing but our own line ends is a control character. */
export function printJson(value: unknown): number {
  const lines = JSON.stringify(value, null, 2).split('\n')
  process.stdout.write(`${lines.map(safe).join('\n')}\n`)
  return OK
}
