// Message mode: both sides of an accepted WebSocket become endpoints that take and give whole messages. The
// scanner, pings, the closing handshake and every deadline are those of frames mode; this file only adds the
// endpoints in between.

import { makeClose } from '../core/close.ts'
import type { Connection, Observer } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { PairOptions } from '../pair/pair.ts'
import type { PairEnds } from '../opening/steps.ts'
import type { Deflate } from './deflate.ts'
import { MessageEndpoint } from './message-endpoint.ts'
import type { MessageListener } from './message-endpoint.ts'
import type { MessageSenderOptions } from './message-sender.ts'
import type { SlowConsumerPolicy } from './message-queue.ts'
import { violationClose } from './violation.ts'

export interface MessagesOptions {
  slowConsumer: { policy: SlowConsumerPolicy; queueBytes: number }
  maxMessageBytes: number
}

/** The ends of a pair in message mode. `deflate`: the compression negotiated with the client. */
export function messageEnds(
  connection: Connection,
  options: MessagesOptions,
  pair: PairOptions,
  { deflate, observer }: { deflate: Deflate | null; observer: Observer },
): PairEnds {
  const { slowConsumer, maxMessageBytes } = options
  const { highBytes } = pair.buffers
  const events = listener(connection, slowConsumer.queueBytes, observer)
  const towardsClient: MessageSenderOptions = { ...slowConsumer, highBytes, maxMessageBytes, deflate }
  // Messages for the service are never dropped: a client that sends faster than it takes is held back.
  const towardsUpstream: MessageSenderOptions = { ...towardsClient, policy: 'wait' }
  return {
    options: slowConsumer.policy === 'wait' ? pair : { ...pair, toClientBuffers: unbounded(pair) },
    wrap: (client: Endpoint, upstream: Endpoint) => ({
      client: new MessageEndpoint(client, connection.toClient, towardsClient, events),
      upstream: new MessageEndpoint(upstream, connection.toUpstream, towardsUpstream, events),
    }),
  }
}

/** A broadcasting service is never held back for one slow client: that client's queue is the bound. */
function unbounded({ buffers }: PairOptions): PairOptions['buffers'] {
  return { ...buffers, highBytes: Number.POSITIVE_INFINITY }
}

function listener(connection: Connection, queueBytes: number, observer: Observer): MessageListener {
  return {
    onViolation: (violation, sink) =>
      connection.owner?.close(violationClose(violation, sink === 'client' ? 'upstream' : 'client')),
    onOverflow: (sink) =>
      connection.owner?.close(
        makeClose(
          'slow_consumer',
          sink,
          'relay',
          `more than ${queueBytes} bytes waited (websocket.slowConsumer.queue)`,
        ),
      ),
    onDropped: (policy, messages) => observer.onMessagesDropped(connection, policy, messages),
  }
}
