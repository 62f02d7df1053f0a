// Modules that a gate loads on first need, or not whole: the only file that loads Node's modules and packages
// late. An ES import reads every export of a module once: of crypto, tls, v8 and util together that is 12 MB
// of resident memory (Node 26.10), most of it for exports that nothing here uses; two exports of http load
// undici, 9 MB. From the second call on, each function is a lookup in a table. Files of `src` come late by
// `import()`.

import type ChildProcess from 'node:child_process'
import type Crypto from 'node:crypto'
import type Http from 'node:http'
import type Http2 from 'node:http2'
import type Inspector from 'node:inspector/promises'
import type PerfHooks from 'node:perf_hooks'
import type Tls from 'node:tls'
import type Util from 'node:util'
import type V8 from 'node:v8'
import type Vm from 'node:vm'
import type WorkerThreads from 'node:worker_threads'
import type Zlib from 'node:zlib'

export function nodeChildProcess(): typeof ChildProcess {
  return process.getBuiltinModule('node:child_process')
}

let crypto: typeof Crypto | null = null

/** Each WebSocket uses it. */
export function nodeCrypto(): typeof Crypto {
  return (crypto ??= process.getBuiltinModule('node:crypto'))
}

let http: typeof Http | null = null

/** Each answer over HTTP/2 uses it. */
export function nodeHttp(): typeof Http {
  return (http ??= process.getBuiltinModule('node:http'))
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

export function nodeInspector(): typeof Inspector {
  return process.getBuiltinModule('node:inspector/promises')
}

export function nodePerfHooks(): typeof PerfHooks {
  return process.getBuiltinModule('node:perf_hooks')
}

export function nodeTls(): typeof Tls {
  return process.getBuiltinModule('node:tls')
}

export function nodeUtil(): typeof Util {
  return process.getBuiltinModule('node:util')
}

export function nodeV8(): typeof V8 {
  return process.getBuiltinModule('node:v8')
}

export function nodeVm(): typeof Vm {
  return process.getBuiltinModule('node:vm')
}

export function nodeWorkerThreads(): typeof WorkerThreads {
  return process.getBuiltinModule('node:worker_threads')
}

export function nodeZlib(): typeof Zlib {
  return process.getBuiltinModule('node:zlib')
}

/** Whether two values are deeply equal. */
export function isSame(a: unknown, b: unknown): boolean {
  return nodeUtil().isDeepStrictEqual(a, b)
}

let require: NodeJS.Require | null = null

/** The exports of a package, or of one of its files. */
export function latePackage(name: string): unknown {
  require ??= process.getBuiltinModule('node:module').createRequire(import.meta.url)
  return require(name)
}
