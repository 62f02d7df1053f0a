// Plain HTTP from its first request on: a conversation over a pair that has no upstream yet.

import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { noUpstream } from '../endpoint/no-endpoint.ts'
import { Pair } from '../pair/pair.ts'
import { Conversation } from './conversation.ts'
import type { RequestHead } from './head.ts'
import type { HttpContext, HttpOptions } from './options.ts'
import { NOTHING } from '../core/nothing.ts'

/** A complete head of a request, and the bytes after it. */
export interface FirstRequest {
  request: RequestHead
  /** Bytes of the head. */
  headBytes: number
  /** Valid until the call that takes it returns. */
  early: Buffer
}

/** Takes ownership of `client`. */
export function serveHttp(
  connection: Connection,
  client: Endpoint,
  first: FirstRequest,
  { options, context }: { options: HttpOptions; context: HttpContext },
): void {
  context.observer.onOpened(connection)
  const conversation = new Conversation(connection, options, context)
  const pair = new Pair(
    connection,
    { client, upstream: noUpstream },
    { options: options.pair, context, dialogue: conversation },
  )
  conversation.attach(pair)
  connection.toUpstream.received += first.headBytes
  context.observer.onHead(connection, 'client', first.headBytes)
  if (pair.toUpstream.meter?.takeBytes(first.headBytes) !== false) conversation.begin(first.request)
  pair.start(first.early, NOTHING)
}
