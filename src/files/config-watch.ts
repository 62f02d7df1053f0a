// Notices that the configuration file may have changed. Whether it has is for the asker to find out, by its content.

import { basename } from 'node:path'
import type { Clock } from '../core/clock.ts'
import { DirectoryWatch } from './directory-watch.ts'

export interface ConfigWatchOptions {
  file: string
  clock: Clock
  /** To be looked at. */
  onChange: () => void
}

/** Other files of the directory are not looked at, but for the links that a mount swaps. */
export function watchConfig({ file, clock, onChange }: ConfigWatchOptions): DirectoryWatch {
  const isSign = (name: string | null): boolean =>
    name === null || name === basename(file) || name.startsWith('..')
  return new DirectoryWatch({ files: [file], clock, isSign, onChange })
}
