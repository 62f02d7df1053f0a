// The path of a value in the file, as messages name it: `listeners[0].deadlines.idle`.

import { isMap } from './keys.ts'
import { quote } from './words.ts'

export type Path = readonly (string | number)[]

/** Keys that are not plain words are quoted, escaped and cut. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[A-Za-z_$][\w$-]{0,40}$/.test(step)) text += `[${quote(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}

/** The value at a path; undefined where there is none. */
export function at(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((inside, step) => {
    if (typeof step === 'number') return Array.isArray(inside) ? inside[step] : undefined
    return isMap(inside) && Object.hasOwn(inside, step) ? inside[step] : undefined
  }, value)
}
