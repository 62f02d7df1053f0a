// The texts of a health check's request: its Host, its headers, and which answers pass.

import { isMap } from './keys.ts'
import type { Parsed } from './words.ts'
import { show } from './words.ts'

export const hostPattern = String.raw`^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`
const MAX_HEADERS = 32
const MAX_VALUE = 4096
/** The connection sets these itself, or they have their own key. */
const ours =
  /^(?:host|connection|content-length|transfer-encoding|upgrade|expect|te|trailer|keep-alive|proxy-connection|sec-websocket-.*)$/i

export function parseHost(input: unknown): Parsed<string> {
  if (typeof input === 'string' && new RegExp(hostPattern).test(input)) return { value: input }
  return { problem: `got ${show(input)}, write a host such as app.example or app.example:8080` }
}

/** Messages do not repeat the values, which may be secrets. */
export function parseHeaders(input: unknown): Parsed<Record<string, string>> {
  if (input === undefined) return { value: {} }
  if (!isMap(input)) return { problem: `got ${show(input)}, write a map such as { X-Health: "yes" }` }
  const all = Object.entries(input)
  if (all.length > MAX_HEADERS)
    return { problem: `has ${all.length} headers, at most ${MAX_HEADERS} are possible` }
  for (const [name, value] of all) {
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}$/.test(name))
      return { problem: `got ${show(name)}, which is no name of a header` }
    if (ours.test(name))
      return {
        problem: `got ${show(name)}, which is not for a check to set${/^host$/i.test(name) ? ', write host' : ''}`,
      }
    if (typeof value !== 'string' || value.length > MAX_VALUE || !/^[\t\x20-\x7e]*$/.test(value))
      return { problem: `the value of ${show(name)} is no text of visible ASCII, put it in quotes` }
  }
  return { value: Object.fromEntries(all) as Record<string, string> }
}

/** A number, or `200-399`; 1xx is no answer. */
export function parseStatus(input: unknown): Parsed<string> {
  const [, from = '', to = from] = /^([2-5][0-9]{2})(?:-([2-5][0-9]{2}))?$/.exec(String(input)) ?? []
  const isGood =
    (typeof input === 'number' || typeof input === 'string') && from !== '' && Number(from) <= Number(to)
  return isGood
    ? { value: String(input) }
    : { problem: `got ${show(input)}, write a status such as 204 or a range such as 200-399` }
}
