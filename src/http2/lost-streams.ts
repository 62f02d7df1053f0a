// The streams that cannot complete once their client has ended its half: it sends no more of a request, and
// opens no window for the rest of an answer.

import { makeClose } from '../core/close.ts'
import type { ClientStream } from './client-stream.ts'

/** Ends them; streams that can complete go on. The client has ended. */
export function endLost(streams: Iterable<ClientStream>): void {
  for (const stream of streams) {
    const { connection } = stream
    const words = whyLost(stream)
    if (words === null) continue
    if (connection.end === null) connection.owner?.close(makeClose('aborted', 'client', 'relay', words))
    // An end that was decided before waits for the client to take its last bytes, for as long as
    // deadlines.write.
    else if (stream.isStuck) stream.close('reset')
  }
}

/** In words for the log; null for a stream that can complete. */
function whyLost({ hasWholeRequest, isStuck }: ClientStream): string | null {
  if (!hasWholeRequest) return 'left before its request was complete'
  return isStuck ? 'left before it had taken its answer' : null
}
