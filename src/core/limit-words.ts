// The words for a limit that acts: its key, and what made it act early. A client that a gate refuses by its
// share alone, while the fleet cannot be asked, would else look like one that is over the limit.

/** Present in the words where the fleet could not be asked. */
export const ALONE_KEY = 'shared.redis.onUnavailable'

/** `cell`: the count or the bucket of the limit. */
export function limitWords(key: string, cell: { readonly isAlone?: boolean }): string {
  // First the cause: tables cut the end off.
  return cell.isAlone === true ? `Redis is away: ${key}, by ${ALONE_KEY}` : key
}
