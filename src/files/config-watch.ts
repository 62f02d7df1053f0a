// A watch over the configuration file: reports that it may have changed. The caller compares the content.

import { basename } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { DirectoryWatch } from './directory-watch.ts'

export interface ConfigWatchOptions {
  file: string
  clock: Clock
  /** Called when the file should be read. */
  onChange: () => void
}

/** Ignores other files of the directory, except the links that a mount swaps. */
export function watchConfig({ file, clock, onChange }: ConfigWatchOptions): DirectoryWatch {
  const isSign = (name: string | null): boolean =>
    name === null || name === basename(file) || name.startsWith('..')
  return new DirectoryWatch({ files: [file], clock, isSign, onChange })
}
