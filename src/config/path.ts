// The path of a value in the file, as messages name it: `listeners[0].deadlines.idle`.

import { quote } from './words.ts'

export type Path = readonly (string | number)[]

/** Keys that are no plain words are quoted, escaped and cut. */
export function formatPath(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!/^[A-Za-z_$][\w$-]{0,40}$/.test(step)) text += `[${quote(step)}]`
    else text += text === '' ? step : `.${step}`
  }
  return text
}
