// Node modules that an idle gate does without, loaded on first need: crypto, tls, v8 and util together are 12
// MB of resident memory (Node 26.10), most of it for exports that nothing here uses. From the second call on,
// each function is a lookup in a table.

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

/** The only one of these modules that each WebSocket uses. */
export function nodeCrypto(): typeof Crypto {
  return (crypto ??= process.getBuiltinModule('node:crypto'))
}

let http2: typeof Http2 | null = null

/**
 * The read-ahead of a stream that has no reader: Node takes this much before it stops opening the window
 * again, and then the window on top. Node's own 64 KiB (since 22; 16 before) can only be changed for all
 * streams of the thread; all our other streams are read as they come, so the value does not affect them.
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

/** Whether two values are deeply equal. */
export function isSame(a: unknown, b: unknown): boolean {
  return process.getBuiltinModule('node:util').isDeepStrictEqual(a, b)
}
