// Modules of Node's that an idle gate does without, loaded when they are first needed: crypto, tls, v8 and util
// together are 12 MB of resident memory (Node 26.10), most of it for exports that nothing here uses. From the second call on, a lookup in a table.

import type ChildProcess from 'node:child_process'
import type Crypto from 'node:crypto'
import type Http2 from 'node:http2'
import type Tls from 'node:tls'
import type V8 from 'node:v8'
import type Vm from 'node:vm'

export function nodeChildProcess(): typeof ChildProcess {
  return process.getBuiltinModule('node:child_process')
}

let crypto: typeof Crypto | null = null

/** Of all of these the only one that each WebSocket asks for. */
export function nodeCrypto(): typeof Crypto {
  return (crypto ??= process.getBuiltinModule('node:crypto'))
}

let http2: typeof Http2 | null = null

/**
 * A stream that nobody reads takes so much before Node stops to open its window again, and then the window on top. Node's own 64 KiB
 * (since 22; 16 before) can be changed for all streams of the thread alone; what others read, flows.
 */
const READ_AHEAD = 16_384

export function nodeHttp2(): typeof Http2 {
  if (http2 === null) process.getBuiltinModule('node:stream').setDefaultHighWaterMark(false, READ_AHEAD)
  return (http2 ??= process.getBuiltinModule('node:http2'))
}

export function nodeTls(): typeof Tls {
  return process.getBuiltinModule('node:tls')
}

export function nodeV8(): typeof V8 {
  return process.getBuiltinModule('node:v8')
}

export function nodeVm(): typeof Vm {
  return process.getBuiltinModule('node:vm')
}

/** Whether two values are alike to their depths. */
export function isSame(a: unknown, b: unknown): boolean {
  return process.getBuiltinModule('node:util').isDeepStrictEqual(a, b)
}
