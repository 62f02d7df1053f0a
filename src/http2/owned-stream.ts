// One listener for all streams of clients: one for each would be their main cost. A closed stream drops all
// that was made for it, since Node may hold on to it for long (roll.ts).

import type { ServerHttp2Stream } from 'node:http2'

export interface StreamOwner {
  onStreamClosed(): void
  /** All but the trailers is in frames. */
  sendTrailers(): void
}

const kOwner = Symbol('owner')
type OwnedStream = ServerHttp2Stream & { [kOwner]?: StreamOwner | undefined }

/** Tells the owner once the stream has closed. */
export function own(stream: ServerHttp2Stream, owner: StreamOwner): void {
  const owned: OwnedStream = stream
  owned[kOwner] = owner
  stream.on('close', onClose)
}

/** Asks the owner for the trailers of the stream. */
export function askForTrailers(stream: ServerHttp2Stream): void {
  stream.on('wantTrailers', onWantTrailers)
}

function onWantTrailers(this: OwnedStream): void {
  this[kOwner]?.sendTrailers()
}

function onClose(this: OwnedStream): void {
  const owner = this[kOwner]
  this[kOwner] = undefined
  owner?.onStreamClosed()
}
