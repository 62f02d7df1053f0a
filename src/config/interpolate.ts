// Interpolation: `${NAME}` in a value is taken from the environment. It works on values that YAML has parsed,
// so the content of a variable can never become a key, a comment or a second value; and it runs once, so that
// content can never name another variable.

import type { Parsed } from './words.ts'
import { show } from './words.ts'

export type Environment = Readonly<Record<string, string | undefined>>

// `$${` stands for a literal `${`; a lone `$` is left alone.
const reference = /\$\$\{|\$\{([^}]*)(\}?)/g
const variable = /^[A-Za-z_]\w*$/

/** No value of the schema is longer; a short file with many references must not grow without bound. */
const MAX_CHARS = 64 * 1024

export interface Interpolated {
  value: string | number | boolean | null
  isChanged: boolean
}

/**
 * `isPlain`: written without quotes, so that `connections: ${MAX}` becomes a number like `connections: 100`.
 */
export function interpolate(
  text: string,
  env: Environment,
  isPlain: boolean,
): { problem: string } | Interpolated {
  if (!text.includes('${')) return { value: text, isChanged: false }
  let problem: string | null = null
  let added = 0
  const value = text.replace(reference, (whole, name: string | undefined, brace: string | undefined) => {
    if (name === undefined) return '${'
    const found = lookUp(name, brace === '}', env)
    if ('value' in found) {
      added += found.value.length
      if (added <= MAX_CHARS) return found.value
      problem ??= `got ${show(text)}, which becomes longer than ${MAX_CHARS} characters`
      return whole
    }
    problem ??= `got ${show(text)}, ${found.problem}`
    return whole
  })
  if (problem !== null) return { problem }
  return { value: isPlain ? retyped(value) : value, isChanged: true }
}

function lookUp(name: string, isClosed: boolean, env: Environment): Parsed<string> {
  if (!isClosed || !variable.test(name)) {
    return {
      problem: `write \${NAME}${name.includes(':') ? ' without a default' : ''}, or $\${ for a literal \${`,
    }
  }
  const value = Object.hasOwn(env, name) ? env[name] : undefined
  return value === undefined ? { problem: `the environment variable ${name} is not set` } : { value }
}

/** As YAML 1.2 would parse it: whole numbers and booleans; nothing else has a use here. */
function retyped(value: string): string | number | boolean {
  if (value === 'true' || value === 'false') return value === 'true'
  return /^-?\d{1,15}$/.test(value) ? Number(value) : value
}
