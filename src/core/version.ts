// The version and commit of this build.

import { readFileSync } from 'node:fs'

/** The package's version; package.json lies one folder above both src/ and dist/. */
export function version(): string {
  const { version: text } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string }
  return text
}

/** The commit of the build; the image sets it. */
function revision(): string {
  return process.env['SIDEGATE_REVISION'] ?? 'unknown'
}

export function build(): { version: string; revision: string } {
  return { version: version(), revision: revision() }
}
