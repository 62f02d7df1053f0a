// A real Prometheus that scrapes gates every second and evaluates rules as often, and its HTTP API.

import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { jobRelabelings } from '../../deploy/observability/rules.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { runTool, temporary } from '../support/tools.ts'

export interface Series {
  metric: Record<string, string>
  /** Those that are numbers. */
  values: number[]
}

export interface Prometheus {
  /** An expression at every second since the start; rejects with the error of Prometheus. */
  history(expr: string): Promise<Series[]>
  /** At that moment, in seconds since 1970. */
  at(expr: string, time: number): Promise<Array<{ metric: Record<string, string>; value: number }>>
  output: () => string
}

interface Answer {
  error?: string
  data?: {
    result: Array<{
      metric: Record<string, string>
      values?: Array<[number, string]>
      value?: [number, string]
    }>
  }
}

/** A gate of a workload, as the discovery of Kubernetes shows it. */
export interface Pod {
  workload: string
  healthPort: number
}

const parts = { sourceLabels: 'source_labels', regex: 'regex', targetLabel: 'target_label' } as const

/** The relabelings of our PodMonitor, as the operator writes them. */
function relabelConfigs(): string {
  return JSON.stringify(
    jobRelabelings.map((one) =>
      Object.fromEntries(
        Object.entries(one).map(([name, value]) => [parts[name as keyof typeof parts], value]),
      ),
    ),
  )
}

function discovered({ workload, healthPort }: Pod): string {
  const set = `${workload}-7d9f6c5b8`
  return JSON.stringify({
    targets: [`127.0.0.1:${healthPort}`],
    labels: {
      namespace: 'shop',
      container: 'sidegate',
      pod: `${set}-x2x4z`,
      __meta_kubernetes_pod_controller_kind: 'ReplicaSet',
      __meta_kubernetes_pod_controller_name: set,
    },
  })
}

/** The rules with every wait and every window so short that the load of a test fills it. */
export function hastened(rules: string): string {
  return rules.replaceAll(/\bfor: \d+[mh]/g, 'for: 0s').replaceAll(/\[\d+[mhd]\]/g, '[10s]')
}

/** `rules` is the text of a rule file; the namespace is `shop`. */
export async function prometheus(t: Test, pods: readonly Pod[], rules: string): Promise<Prometheus> {
  const directory = temporary(t)
  const port = freePort()
  writeFileSync(join(directory, 'rules.yaml'), rules)
  writeFileSync(
    join(directory, 'prometheus.yaml'),
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: pods
    static_configs: [${pods.map(discovered).join(', ')}]
    relabel_configs: ${relabelConfigs()}
`,
  )
  const { output } = runTool(t, 'prometheus', [
    `--config.file=${join(directory, 'prometheus.yaml')}`,
    `--storage.tsdb.path=${join(directory, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ])
  const start = Date.now() / 1000
  await eventually(() => isReady(port), { what: 'Prometheus to be ready', withinMs: 20_000 })
  return {
    output,
    async history(expr) {
      const end = String(Date.now() / 1000)
      const result = await ask(port, 'query_range', { query: expr, start: String(start), end, step: '1' })
      return result.map(({ metric, values = [] }) => ({
        metric,
        values: values.map(([, value]) => Number(value)).filter((value) => Number.isFinite(value)),
      }))
    },
    async at(expr, time) {
      const result = await ask(port, 'query', { query: expr, time: String(time) })
      return result.map(({ metric, value }) => ({ metric, value: Number(value?.[1]) }))
    },
  }
}

type Result = NonNullable<Answer['data']>['result']

async function ask(port: number, route: string, query: Record<string, string>): Promise<Result> {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/${route}`, {
    method: 'POST',
    body: new URLSearchParams(query),
    headers: { connection: 'close' },
  })
  const { error, data } = (await response.json()) as Answer
  if (data === undefined) throw new Error(`${error}: ${query['query']}`)
  return data.result
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/-/ready`, { headers: { connection: 'close' } })).ok
  } catch {
    return false
  }
}
