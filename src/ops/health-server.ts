// The health server: the probes of the kubelet and the scrapes of Prometheus, on its own port, which never
// changes anything. Liveness only shows that the event loop turns: a liveness probe that looks at an upstream
// restarts healthy pods. Functions supply the state, so this file knows nothing of what it reports.

import type { Clock } from '../core/clock.ts'
import type { Answer } from './answer.ts'
import { OpsServer, type OpsAddress, type Route } from './ops-server.ts'
import { RenderGate } from './render-gate.ts'

export interface ReadinessCheck {
  name: string
  ok: boolean
  detail?: string
}

export interface Readiness {
  ready: boolean
  checks: ReadinessCheck[]
}

/** Each check by its name, with its problem; null is well. */
export function readinessOf(problems: Readonly<Record<string, string | null>>): Readiness {
  const checks = Object.entries(problems).map(([name, detail]) => ({
    name,
    ok: detail === null,
    ...(detail === null ? {} : { detail }),
  }))
  return { ready: checks.every(({ ok }) => ok), checks }
}

/** The outcome for the connections. */
export interface DrainCounts {
  drained: number
  forced: number
  others: number
  cut: number
}

export interface HealthServerOptions {
  clock: Clock
  /** Configuration valid and listeners bound; never the upstream. */
  isStarted: () => boolean
  readiness: () => Readiness
  renderMetrics: () => Promise<{ contentType: string; body: string }>
  /**
   * Resolves when a drain is finished, or where none begins; `onGone` gets the function to call if the client
   * leaves.
   */
  waitDrained?: (onGone: (run: () => void) => void) => Promise<DrainCounts | null>
  onError?: (error: unknown) => void
  maxConnections?: number
}

export class HealthServer {
  readonly #server: OpsServer

  constructor(options: HealthServerOptions) {
    this.#server = new OpsServer({ ...options, routes: healthRoutes(options) })
  }

  /** Resolves with the bound port. */
  start(address: OpsAddress): Promise<number> {
    return this.#server.start(address)
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }
}

function healthRoutes(options: HealthServerOptions): Route[] {
  // All scrapers that share a render share its bytes: 64 that do not read hold one text, not 64.
  const gate = new RenderGate(options.clock, async () => {
    const { contentType, body } = await options.renderMetrics()
    return { status: 200, contentType, body: Buffer.from(body) }
  })
  const live = () => text(200, 'ok\n')
  return [
    { method: 'GET', path: '/livez', summary: 'the event loop turns', handle: live },
    { method: 'GET', path: '/healthz', summary: 'the same, by its old name', handle: live },
    {
      method: 'GET',
      path: '/startupz',
      summary: 'configured and listening',
      handle: () => startup(options.isStarted()),
    },
    {
      method: 'GET',
      path: '/readyz',
      summary: 'takes new connections; ?verbose lists the checks',
      handle: ({ query }) => readiness(options.readiness(), query.has('verbose')),
    },
    {
      method: 'GET',
      path: '/metrics',
      summary: 'for Prometheus',
      handle: () => gate.render(),
    },
    {
      // For the preStop hook of the application, which keeps it up while its connections drain. The route
      // only waits, so this server may have it; scrapers do not displace a waiting client.
      method: 'GET',
      path: '/drain/wait',
      isKept: true,
      summary: 'answers when a drain is finished, or after 5 s if none begins',
      handle: async ({ signal }) => {
        const counts = await options.waitDrained?.((run) =>
          signal.addEventListener('abort', run, { once: true }),
        )
        return text(200, drainText(counts ?? null))
      },
    },
  ]
}

function text(status: number, body: string): Answer {
  return { status, body }
}

/** The first line is for programs. `cut`: connections ended while bytes or an answer were owed to them. */
function drainText(counts: DrainCounts | null): string {
  if (counts === null) return 'ok\nno drain\n'
  const { drained, forced, others, cut } = counts
  return `ok\ndrained ${drained}\nforced ${forced}\nothers ${others}\ncut ${cut}\n`
}

function startup(isStarted: boolean): Answer {
  return isStarted ? text(200, 'ok\n') : text(503, 'starting\n')
}

/**
 * The shape of the API server's /readyz, which names failed checks by default: kubectl shows it in events.
 */
function readiness({ ready, checks }: Readiness, isVerbose: boolean): Answer {
  const status = ready ? 200 : 503
  if (ready && !isVerbose) return text(status, 'ok\n')
  const lines = checks.map(({ name, ok, detail }) => {
    const why = detail === undefined ? '' : `: ${detail}`
    return `[${ok ? '+' : '-'}]${name} ${ok ? 'ok' : 'failed'}${why}\n`
  })
  return text(status, `${lines.join('')}readyz check ${ready ? 'passed' : 'failed'}\n`)
}
