// Streams that no server gets: their requests are refused here.

import type { ServerHttp2Stream } from 'node:http2'
import { makeClose } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import { noteEnding } from '../core/timeline.ts'
import type { RequestHead } from '../http1/head.ts'
import { isCall } from '../http1/grpc.ts'
import { refusalOf } from '../http1/refusal.ts'
import type { ClientStream } from './client-stream.ts'
import { PROTOCOL_ERROR } from './codes.ts'
import { nobody } from './nobody.ts'
import type { Http2Context } from './options.ts'
import { resetStream } from './reset-stream.ts'

/** A malformed request (RFC 9113 section 8.1.1). */
export function refuseMalformed(
  connection: Connection,
  stream: ServerHttp2Stream,
  problem: string,
  { observer, streams }: Http2Context,
): void {
  observer.onOpened(connection)
  connection.end = makeClose('protocol_error', 'client', 'handshake', problem)
  resetStream(stream, PROTOCOL_ERROR)
  streams.onRefused(connection)
}

export function refuseTooBig(
  connection: Connection,
  client: ClientStream,
  request: RequestHead,
  { observer, streams, clock }: Http2Context,
): void {
  const words = 'request head (http.maxHeader)'
  const close = { ...makeClose('message_too_big', 'client', 'handshake', words), httpStatus: 431 }
  observer.onOpened(connection)
  connection.end = close
  noteEnding(connection, close, clock.now())
  client.owner = { ...nobody, onClosed: () => streams.onRefused(connection) }
  const answer = refusalOf(close, {
    request,
    isAnswerBegun: false,
    isCall: isCall(request),
    isOfStream: true,
  })!
  client.write(answer, 0, answer.length)
  client.close('flush')
}
