// A patch of a configuration: some keys of some listeners, by their names, put into a file that otherwise
// stays as it is, comments included. Nothing is checked here: the result is text, for `checkText`.

import { isMap, isSeq, parseDocument } from 'yaml'
import type { Document, YAMLMap } from 'yaml'
import { ConfigError } from '../core/errors.ts'
import { parseAddress } from './address.ts'
import { defaultName } from './listener-keys.ts'

/** `text` with the changes of `patch`; throws a ConfigError where `text` lacks a listener of it. */
export function patched(text: string, patch: string, fileName: string): string {
  const [document, change] = [parseDocument(text), parseDocument(patch)]
  const broken = change.errors[0] ?? document.errors[0]
  if (broken !== undefined) throw problem(fileName, `is no YAML: ${broken.message.split('\n')[0]!}`)
  const listeners = change.get('listeners')
  if (!isSeq(listeners)) throw problem(fileName, 'has no listeners')
  for (const item of listeners.items) {
    if (!isMap(item)) throw problem(fileName, 'has a listener that is no map')
    const name = String(item.get('name'))
    const index = indexOf(document, name)
    if (index < 0)
      throw problem(fileName, `names the listener ${JSON.stringify(name)}, which the configuration has not`)
    merge(document, ['listeners', index], item, 'name')
  }
  return document.toString({ lineWidth: 0 })
}

function indexOf(document: Document, name: string): number {
  const listeners = document.get('listeners')
  return isSeq(listeners) ? listeners.items.findIndex((item) => isMap(item) && nameOf(item) === name) : -1
}

/** The configuration's name for a listener, also for one without a name. */
function nameOf(listener: YAMLMap): string {
  if (listener.has('name')) return String(listener.get('name'))
  const address = parseAddress(String(listener.get('address')), 'listen')
  return 'value' in address ? defaultName(String(listener.get('protocol')), address.value) : ''
}

function merge(document: Document, path: readonly (string | number)[], from: YAMLMap, except = ''): void {
  for (const { key, value } of from.items) {
    const name = String(key)
    if (name === except) continue
    const inner = [...path, name]
    if (isMap(value) && isMap(document.getIn(inner))) merge(document, inner, value)
    else document.setIn(inner, value)
  }
}

function problem(fileName: string, message: string): ConfigError {
  return new ConfigError(fileName, [{ line: 0, column: 0, path: '', message }])
}
