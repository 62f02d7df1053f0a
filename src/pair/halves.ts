// The two halves of a pair, made together.

import type { Connection } from '../core/connection.ts'
import { turnsOf } from '../core/turns.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'
import { Half, type HalfOwner } from './half.ts'
import type { PairContext, PairOptions } from './pair-options.ts'

/** Everything of a pair beside its connection and its endpoints. */
export interface PairParts {
  options: PairOptions
  context: PairContext
  dialogue: Dialogue | null
}

export interface Endpoints {
  client: Endpoint
  upstream: Endpoint
}

export function makeHalves(
  { toUpstream, toClient }: Connection,
  { client, upstream }: Endpoints,
  owner: HalfOwner,
  { options, context, dialogue }: PairParts,
): { toUpstream: Half; toClient: Half } {
  const turns = turnsOf(context.clock)
  const { buffers, toClientBuffers = buffers } = options
  const shared = { turns, owner, dialogue }
  return {
    toUpstream: new Half(
      { direction: 'to_upstream', source: client, sink: upstream, flow: toUpstream },
      { buffers, ...shared },
    ),
    toClient: new Half(
      { direction: 'to_client', source: upstream, sink: client, flow: toClient },
      { buffers: toClientBuffers, ...shared },
    ),
  }
}
