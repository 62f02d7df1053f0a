// Ends of sessions of node:http2 from within its callbacks. Node runs those, and what they put off to the end
// of their turn (`end`, `finish`, the callback of a write), amid the work of nghttp2, whose session must not go
// then: Node has aborted the process for it.

import { createHook, executionAsyncId } from 'node:async_hooks'
import http2 from 'node:http2'
import type { Http2Session } from 'node:http2'
import { once } from 'node:events'
import type net from 'node:net'
import type { Test } from 'tap'

/** Types of the asynchronous work from which Node calls back for HTTP/2. */
const ofHttp2: ReadonlySet<string> = new Set([
  'HTTP2SESSION',
  'HTTP2STREAM',
  'HTTP2PING',
  'HTTP2SETTINGS',
  'PendingRequest',
  'WRITEWRAP',
  'SHUTDOWNWRAP',
])

/** Not the sources of a package. */
const OURS = new URL('../../src/', import.meta.url).href
/** It stands between each session and its callers, Node among them. */
const BETWEEN = `${OURS}http2/stream-faults.ts`

type Destroy = Http2Session['destroy']

/** The prototype of both kinds of session. */
async function sessionPrototype(): Promise<{ destroy: Destroy }> {
  const server = http2.createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const session = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`)
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf(session)) as { destroy: Destroy }
  session.destroy()
  server.close()
  return prototype
}

export interface WatchedEnds {
  /** The stacks of ends by the gate from within a callback. */
  within: string[]
  /** The number of all ends by the gate. */
  ends: number
}

/** Watches until the end of the test all sessions of the process; those that the gate ends are of interest. */
export async function watchSessionEnds(t: Test): Promise<WatchedEnds> {
  const watched: WatchedEnds = { within: [], ends: 0 }
  const prototype = await sessionPrototype()
  const { destroy } = prototype
  /** By the id of a tick: the work that put it off. */
  const ticks = new Map<number, number>()
  const callbacks = new Set<number>()
  const hook = createHook({
    init(id, type) {
      if (type === 'TickObject') ticks.set(id, executionAsyncId())
      else if (ofHttp2.has(type)) callbacks.add(id)
    },
  }).enable()
  prototype.destroy = function (this: Http2Session, ...args: Parameters<Destroy>) {
    const [caller = '', ...callers] = new Error()
      .stack!.split('\n')
      .slice(2)
      .filter((line) => !line.includes(BETWEEN))
    if (caller.includes(OURS)) {
      watched.ends++
      let id = executionAsyncId()
      while (ticks.has(id)) id = ticks.get(id)!
      if (callbacks.has(id)) watched.within.push([caller, ...callers].join('\n'))
    }
    return destroy.apply(this, args)
  }
  t.teardown(() => {
    prototype.destroy = destroy
    hook.disable()
  })
  return watched
}
