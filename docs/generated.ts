// What all generators do with what they made: write it, or with `--check` write nothing and name what is out of date.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const root = dirname(import.meta.dirname)

export interface Generated {
  /** Where the paths of the files begin. */
  folder: string
  /** Texts by path. */
  files: Readonly<Record<string, string>>
  /** Files that were generated once and are not any more. */
  orphans?: readonly string[]
  /** Makes them anew; a program of Node's, by its path. */
  generator: string
}

/** The exit code: 1 where `--check` finds something out of date. */
export function writeOrCheck({ folder, files, orphans = [], generator }: Generated): number {
  const path = (name: string): string => join(folder, name)
  const stale = Object.entries(files).filter(
    ([name, text]) => !existsSync(path(name)) || readFileSync(path(name), 'utf8') !== text,
  )
  if (process.argv.includes('--check')) {
    const names = [...stale.map(([name]) => name), ...orphans]
    for (const name of names)
      process.stderr.write(`${relative(root, path(name))} is out of date, run node ${generator}\n`)
    return names.length > 0 ? 1 : 0
  }
  for (const [name, text] of stale) {
    mkdirSync(dirname(path(name)), { recursive: true })
    writeFileSync(path(name), text)
  }
  for (const name of orphans) rmSync(path(name))
  return 0
}
