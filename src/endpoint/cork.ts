// Corked writes: those of one turn that go out together. A head and the frames after it, or many small
// messages of one read, become one packet and one system call instead of one each.
//
// One endpoint at a time may be corked, and only until its caller returns to the event loop: nothing is ever
// delayed, and there is one buffer for the process, none per connection. Corking another endpoint sends the
// writes of the first.

import { LARGEST_WRITE } from './write-buffers.ts'

export interface Corkable {
  /** As `write`, at once. */
  writeNow(bytes: Buffer, start: number, end: number): void
}

/** The endpoint whose writes are being gathered. */
export let corked: Corkable | null = null
/** How many of its bytes wait here. They count in no queue, since they are gone when the turn is over. */
let gathered = 0

let buffer: Buffer | null = null

export function cork(sink: Corkable): void {
  if (corked === sink) return
  if (corked !== null) uncork(corked)
  corked = sink
}

/** Sends the gathered writes of `sink`; does nothing if it is not corked. */
export function uncork(sink: Corkable): void {
  if (corked !== sink) return
  corked = null
  sendGathered(sink)
}

/** `sink` is gone, and takes nothing any more. */
export function discardGathered(sink: Corkable): void {
  if (corked !== sink) return
  corked = null
  gathered = 0
}

/** Appends a write of the corked endpoint; sends whenever the largest write is full. */
export function gather(sink: Corkable, bytes: Buffer, start: number, end: number): void {
  buffer ??= Buffer.allocUnsafeSlow(LARGEST_WRITE)
  while (start < end) {
    const length = Math.min(end - start, LARGEST_WRITE - gathered)
    bytes.copy(buffer, gathered, start, start + length)
    gathered += length
    start += length
    if (gathered === LARGEST_WRITE) sendGathered(sink)
  }
}

function sendGathered(sink: Corkable): void {
  const length = gathered
  gathered = 0
  if (length > 0) sink.writeNow(buffer!, 0, length)
}
