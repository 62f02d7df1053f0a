// The last step of all generators: write the files that they made, or with `--check` write nothing and name those that are out of date.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

const root = dirname(import.meta.dirname)

export interface Generated {
  /** The folder of the paths below. */
  folder: string
  /** Texts by path. */
  files: Readonly<Record<string, string>>
  /** Files of earlier runs that no source makes any more. */
  orphans?: readonly string[]
  /** The path of the program for Node that makes the files. */
  generator: string
}

/** Returns the exit code: 1 where `--check` finds a file out of date. */
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
