// The parts of `ws` that message mode is made of: framing with masks, and permessage-deflate. All of them are exported by the
// package; its types leave them out. Loaded with the first connection in message mode: most gates need none of it.

import { createRequire } from 'node:module'

export interface FrameOptions {
  fin: boolean
  opcode: number
  mask: boolean
  rsv1: boolean
  /** False lets the payload be masked in place. */
  readOnly: boolean
}

type Done = (error: (Error & { code?: string }) | null, data: Buffer) => void
export type ExtensionParams = Record<string, unknown>

export interface PerMessageDeflate {
  accept(offers: ExtensionParams[]): ExtensionParams
  compress(data: Buffer, fin: boolean, done: Done): void
  decompress(data: Buffer, fin: boolean, done: Done): void
  cleanup(): void
}

export interface WsParts {
  Sender: { frame(data: Buffer, options: FrameOptions): Buffer[] }
  PerMessageDeflate: new (options: { isServer: boolean; maxPayload: number; serverNoContextTakeover: boolean; clientNoContextTakeover: boolean }) => PerMessageDeflate
  extension: {
    parse(header: string): Record<string, ExtensionParams[] | undefined>
    format(extensions: Record<string, ExtensionParams[]>): string
  }
}

const require = createRequire(import.meta.url)
let parts: WsParts | null = null

export function wsParts(): WsParts {
  return (parts ??= require('ws') as WsParts)
}
