// Texts with a shape of their own: the name of a listener, an allowed Origin, a path, the path of a file, the
// name in a certificate.

import { isIP } from 'node:net'
import type { Parsed } from './words.ts'
import { show } from './words.ts'

/** A name ends up in metric labels and log fields, so it has only characters that need no quoting there. */
export function parseName(input: unknown): Parsed<string> {
  if (typeof input === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(input)) return { value: input }
  const remedy =
    typeof input === 'number' || typeof input === 'boolean'
      ? `write it in quotes: "${input}"`
      : 'write 1 to 63 letters, digits, dots, dashes or underscores'
  return { problem: `got ${show(input)}, ${remedy}` }
}

/** As a browser sends it: lower case, no path, no default port. A sandboxed page sends `null` (quoted). */
export function parseOrigin(input: unknown): Parsed<string> {
  const no = (remedy: string): Parsed<string> => ({ problem: `got ${show(input)}, ${remedy}` })
  if (input === 'null') return { value: input }
  if (input === '*') return no('leave the list empty to allow every origin')
  if (typeof input !== 'string' || !/^[a-z][a-z0-9+.-]*:\/\/[\x21-\x7e]+$/i.test(input))
    return no('write an origin such as https://example.com')
  if (input.includes('*')) return no('wildcards are not supported, write each origin')
  const url = URL.parse(input)
  if (url === null || url.host === '') return no('write an origin such as https://example.com')
  const origin = `${url.protocol}//${url.host}`
  // A spelling that no browser sends could never match, and would silently refuse everyone.
  return input.toLowerCase() === origin ? { value: origin } : no(`write ${origin}`)
}

/** The target of a request of our own, as it goes on the wire. */
export function parsePath(input: unknown): Parsed<string> {
  if (typeof input === 'string' && /^\/[!-"$-~]{0,1023}$/.test(input)) return { value: input }
  return { problem: `got ${show(input)}, write a path such as /healthz` }
}

/** An absolute path: a relative one would depend on the working directory of the process. `off` is none. */
export function parsePathOrOff(input: unknown): Parsed<string | null> {
  if (input === 'off') return { value: null }
  const isGood = typeof input === 'string' && input.startsWith('/') && !/[\p{C}\p{Zl}\p{Zp}]/u.test(input)
  return isGood
    ? { value: input }
    : { problem: `got ${show(input)}, write an absolute path, such as /run/secrets/sidegate/token` }
}

/** Whether the file exists is seen when it is read. */
export function parseFile(input: unknown): Parsed<string> {
  // Not repeated: it may be a key.
  if (typeof input === 'string' && input.includes('-----BEGIN'))
    return { problem: 'is a certificate or key itself, write the path of a file that holds it' }
  if (typeof input === 'string' && input !== '' && !input.includes('\0')) return { value: input }
  return { problem: `got ${show(input)}, write the path of a file` }
}

export function parseServerName(input: unknown): Parsed<string> {
  if (
    typeof input === 'string' &&
    (isIP(input) !== 0 || /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/.test(input))
  )
    return { value: input }
  return { problem: `got ${show(input)}, write the name in its certificate, such as legacy.example` }
}

/** As `chmod` takes it. A number is refused: YAML reads 0660 as six hundred and sixty, and 0o660 as 432. */
export function parseMode(input: unknown): Parsed<number | null> {
  if (input === 'off') return { value: null }
  if (typeof input === 'string' && /^0?[0-7]{3}$/.test(input)) return { value: Number.parseInt(input, 8) }
  return { problem: `got ${show(input)}, write a file mode in quotes, such as "0660"` }
}

/** The prefix of keys in Redis. Braces would choose the part of a key that a cluster hashes. */
export function parsePrefix(input: unknown): Parsed<string> {
  if (typeof input === 'string' && /^[!-z|~]{1,64}$/.test(input)) return { value: input }
  return {
    problem: `got ${show(input)}, write 1 to 64 letters, digits and signs without braces, such as sidegate:`,
  }
}

export function parseUser(input: unknown): Parsed<string> {
  if (typeof input === 'string' && /^[!-~]{1,128}$/.test(input)) return { value: input }
  return { problem: `got ${show(input)}, write the name of a user of its ACL` }
}
