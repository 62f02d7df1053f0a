// The names that gates give themselves, and the hashed ones that Redis sees.

import { nodeCrypto } from '../core/late.ts'

export const newName = (): string => nodeCrypto().randomBytes(9).toString('base64url')

/** The first 128 bits of the hash. */
export function hashed(name: string, secret: string): string {
  return nodeCrypto().createHmac('sha256', secret).update(name).digest('base64url').slice(0, 22)
}
