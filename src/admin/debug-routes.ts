// Profiles of this process, as downloads that Chrome's DevTools open. POST, since they cost the gate something while they run.

import type { Clock } from '../core/clock.ts'
import { jsonAnswer, type Answer, type OpsRequest, type Route } from '../ops/ops-server.ts'
import { MAX_SECONDS, Profiler } from './profiler.ts'
import type { ProfileKind, SnapshotRoom } from './profiler.ts'

const defaultSeconds: Record<ProfileKind, number> = { cpu: 10, heap: 30 }
const busy = (): Answer => jsonAnswer({ error: 'another profile is being taken, try again when it is done' }, 409)

export function debugRoutes(clock: Clock, snapshotRoom: () => Promise<SnapshotRoom>): Route[] {
  const profiler = new Profiler(clock)
  const file = (kind: string): string => `sidegate-${new Date(clock.wall()).toISOString().replaceAll(':', '-').slice(0, 19)}.${kind}`

  async function profile(kind: ProfileKind, { query, signal }: OpsRequest): Promise<Answer> {
    const seconds = unknownIn(query, 'seconds') ?? readSeconds(query, defaultSeconds[kind])
    if (typeof seconds === 'string') return jsonAnswer({ error: seconds }, 400)
    if (!profiler.claim(signal)) return busy()
    const body = await profiler.profile(kind, seconds, signal)
    // Without one the asker has left, and no answer reaches anybody.
    return body === null ? busy() : download(body, file(`${kind}profile`))
  }

  async function snapshot({ query, signal }: OpsRequest): Promise<Answer> {
    const problem = unknownIn(query, 'force') ?? (query.getAll('force').every((value) => value === '1') ? null : 'force must be 1')
    if (problem !== null) return jsonAnswer({ error: problem }, 400)
    const room = await snapshotRoom()
    if (room.neededBytes > room.availableBytes && !query.has('force')) {
      const error = 'a snapshot of the heap may need more memory than there is; ?force=1 takes it all the same, POST /debug/heapprofile needs hardly any'
      return jsonAnswer({ error, ...room }, 409)
    }
    return profiler.claim(signal) ? download(profiler.snapshot(), file('heapsnapshot')) : busy()
  }

  return [
    { method: 'POST', path: '/debug/cpuprofile', summary: `what the CPU does: ?seconds=${defaultSeconds.cpu}`, handle: (request) => profile('cpu', request) },
    { method: 'POST', path: '/debug/heapprofile', summary: `who allocates: ?seconds=${defaultSeconds.heap}`, handle: (request) => profile('heap', request) },
    { method: 'POST', path: '/debug/heapsnapshot', summary: 'what the heap holds; stops everything for a moment: ?force=1', handle: snapshot },
  ]
}

function unknownIn(query: URLSearchParams, known: string): string | null {
  return [...query.keys()].every((key) => key === known) ? null : `unknown parameter, known is ${known}`
}

function readSeconds(query: URLSearchParams, fallback: number): number | string {
  const text = query.get('seconds') ?? String(fallback)
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : 0
  return seconds >= 1 && seconds <= MAX_SECONDS ? seconds : `seconds must be 1 to ${MAX_SECONDS}`
}

function download(body: Answer['body'], fileName: string): Answer {
  return { status: 200, contentType: 'application/json', headers: { 'Content-Disposition': `attachment; filename="${fileName}"` }, body }
}
