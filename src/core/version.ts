// Which build this is.

import { readFileSync } from 'node:fs'

/** The package's version; its file is one folder up from src/ as from dist/. */
export function version(): string {
  const { version: text } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string }
  return text
}

/** The commit it was built from, as the image sets it. */
export function revision(): string {
  return process.env['SIDEGATE_REVISION'] ?? 'unknown'
}

export function build(): { version: string; revision: string } {
  return { version: version(), revision: revision() }
}
