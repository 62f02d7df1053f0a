// Profiles of this process, as downloads for Chrome's DevTools. POST, because they burden the gate while they
// run.

import type { Clock } from '../core/clock.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Answer } from '../ops/answer.ts'
import type { OpsRequest, Route } from '../ops/ops-server.ts'
import { MAX_SECONDS, Profiler } from './profiler.ts'
import type { ProfileKind, SnapshotRoom } from './profiler.ts'
import type { Workers } from './workers.ts'

const defaultSeconds: Record<ProfileKind, number> = { cpu: 10, heap: 30 }
const busy = (): Answer =>
  jsonAnswer({ error: 'another profile is being taken, try again when it is done' }, 409)
const unheard = (worker: number): Answer =>
  jsonAnswer({ error: `worker ${worker} does not answer, or has ended: ask again once it is replaced` }, 504)

export function debugRoutes(clock: Clock, snapshotRoom: () => SnapshotRoom, workers: Workers): Route[] {
  const profiler = new Profiler(clock)
  const file = (kind: string): string =>
    `sidegate-${new Date(clock.wall()).toISOString().replaceAll(':', '-').slice(0, 19)}.${kind}`

  async function profile(kind: ProfileKind, { query, signal }: OpsRequest): Promise<Answer> {
    const seconds = unknownIn(query, ['seconds', 'worker']) ?? readSeconds(query, defaultSeconds[kind])
    if (typeof seconds === 'string') return jsonAnswer({ error: seconds }, 400)
    const worker = readWorker(query, workers.count)
    if (typeof worker === 'string') return jsonAnswer({ error: worker }, 400)
    if (!profiler.claim(signal)) return busy()
    const body =
      worker === null
        ? await profiler.profile(kind, seconds, signal)
        : await workers.profile(worker, { kind, seconds })
    // A client that has left gets no answer.
    if (body === null) return worker === null ? busy() : unheard(worker)
    return download(body, file(`${kind}profile`))
  }

  async function snapshot({ query, signal }: OpsRequest): Promise<Answer> {
    const problem =
      unknownIn(query, ['force', 'worker']) ??
      (query.getAll('force').every((value) => value === '1') ? null : 'force must be 1')
    if (problem !== null) return jsonAnswer({ error: problem }, 400)
    const worker = readWorker(query, workers.count)
    if (typeof worker === 'string') return jsonAnswer({ error: worker }, 400)
    const room = snapshotRoom()
    if (room.neededBytes > room.availableBytes && !query.has('force')) {
      const error =
        'a snapshot of the heap may need more memory than there is; ?force=1 takes it all the same, POST /debug/heapprofile needs hardly any'
      return jsonAnswer({ error, ...room }, 409)
    }
    if (!profiler.claim(signal)) return busy()
    const body = worker === null ? profiler.snapshot() : workers.snapshot(worker)
    return body === null ? unheard(worker!) : download(body, file('heapsnapshot'))
  }

  return [
    {
      method: 'POST',
      path: '/debug/cpuprofile',
      summary: `what the CPU does: ?seconds=${defaultSeconds.cpu}`,
      handle: (request) => profile('cpu', request),
    },
    {
      method: 'POST',
      path: '/debug/heapprofile',
      summary: `who allocates: ?seconds=${defaultSeconds.heap}`,
      handle: (request) => profile('heap', request),
    },
    {
      method: 'POST',
      path: '/debug/heapsnapshot',
      summary: 'what the heap holds; stops everything for a moment: ?force=1',
      handle: snapshot,
    },
  ]
}

function unknownIn(query: URLSearchParams, known: readonly string[]): string | null {
  return [...query.keys()].every((key) => known.includes(key))
    ? null
    : `unknown parameter, known are ${known.join(', ')}`
}

/** Null is the main thread. */
function readWorker(query: URLSearchParams, count: number): number | string | null {
  const text = query.get('worker')
  if (text === null) return null
  if (count === 0) return 'there are no workers to choose: the main thread does all (workers: 1)'
  return /^\d{1,2}$/.test(text) && Number(text) < count ? Number(text) : `worker must be 0 to ${count - 1}`
}

function readSeconds(query: URLSearchParams, fallback: number): number | string {
  const text = query.get('seconds') ?? String(fallback)
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0
  return seconds >= 1 && seconds <= MAX_SECONDS ? seconds : `seconds must be 1 to ${MAX_SECONDS}`
}

function download(body: Answer['body'], fileName: string): Answer {
  return {
    status: 200,
    contentType: 'application/json',
    headers: { 'Content-Disposition': `attachment; filename="${fileName}"` },
    body,
  }
}
