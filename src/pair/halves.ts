// The two halves of a pair, made together.

import type { Connection } from '../core/connection.ts'
import { turnsOf } from '../core/turns.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'
import { Half, type HalfOwner } from './half.ts'
import type { PairContext, PairOptions } from './pair-options.ts'

interface Parts {
  options: PairOptions
  context: PairContext
  dialogue: Dialogue | null
}

export function makeHalves(
  { toUpstream, toClient }: Connection,
  { client, upstream }: { client: Endpoint; upstream: Endpoint },
  owner: HalfOwner,
  { options, context, dialogue }: Parts,
): { toUpstream: Half; toClient: Half } {
  const turns = turnsOf(context.clock)
  const { buffers, toClientBuffers = buffers } = options
  return {
    toUpstream: new Half('to_upstream', client, upstream, toUpstream, { buffers, turns, owner }, dialogue),
    toClient: new Half(
      'to_client',
      upstream,
      client,
      toClient,
      { buffers: toClientBuffers, turns, owner },
      dialogue,
    ),
  }
}
