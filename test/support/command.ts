// The command line, as tests start it in a process of its own.

import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')

/** As it is shipped, where `npm test` has built it; else null. */
export const SHIPPED = shipped()
/** For `node`; its sources where it is not built, which take three times the processor's time to start. */
export const CLI = SHIPPED ?? join(root, 'src/cli/cli.ts')

function shipped(): string | null {
  const file = join(root, 'dist/cli.js')
  return process.env['TAP'] !== undefined && existsSync(file) ? file : null
}
