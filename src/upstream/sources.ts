// The addresses of an upstream by where they come from: from the configuration, and from the answers for
// names.

import { formatTarget } from './dial.ts'
import type { Target } from './dial.ts'
import type { ResolvedName } from './resolved-name.ts'

/** The addresses that new connections go to, each once. */
export function wantedOf(
  fixed: ReadonlyMap<string, Target>,
  sources: readonly ResolvedName[],
): Map<string, { address: Target; from: string | null }> {
  const wanted = new Map<string, { address: Target; from: string | null }>()
  for (const [name, address] of fixed) wanted.set(name, { address, from: null })
  for (const { name: from, port, addresses } of sources) {
    for (const host of addresses) {
      const address = { host, port }
      const name = formatTarget(address)
      if (!wanted.has(name)) wanted.set(name, { address, from })
    }
  }
  return wanted
}

/** The addresses that only the last answer lacked. */
export function missingOf(sources: readonly ResolvedName[]): Set<string> {
  return new Set(sources.flatMap(({ missing, port }) => missing.map((host) => formatTarget({ host, port }))))
}

/** The problem of a name, for the log and for a seeker that finds no address. */
export function problemOf({ state, name, problem }: ResolvedName): string | null {
  return state === 'absent'
    ? `${name}: there is no such name any more (${problem ?? 'no addresses'}, upstream.staleFor)`
    : problem
}
