// permessage-deflate of `ws`: the package exports it, and its types leave it out. A listener that may
// compress in message mode loads it before its first client: most gates need none of it, and a client may
// find no descriptor left to read files by.

import { latePackage } from '../core/late.ts'

type Done = (error: (Error & { code?: string }) | null, data: Buffer) => void
export type ExtensionParams = Record<string, unknown>

export interface PerMessageDeflate {
  accept(offers: ExtensionParams[]): ExtensionParams
  compress(data: Buffer, fin: boolean, done: Done): void
  decompress(data: Buffer, fin: boolean, done: Done): void
  cleanup(): void
}

export interface WsParts {
  PerMessageDeflate: new (options: {
    isServer: boolean
    maxPayload: number
    serverNoContextTakeover: boolean
    clientNoContextTakeover: boolean
  }) => PerMessageDeflate
  extension: {
    parse(header: string): Record<string, ExtensionParams[] | undefined>
    format(extensions: Record<string, ExtensionParams[]>): string
  }
}

let parts: WsParts | null = null

export function wsParts(): WsParts {
  return (parts ??= latePackage('ws') as WsParts)
}
