// A real Prometheus that scrapes gates every second and evaluates rules as often, and its HTTP API.

import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../support/eventually.ts'
import { freePort, runTool, temporary } from '../support/tools.ts'

export interface Series {
  metric: Record<string, string>
  /** Those that are numbers. */
  values: number[]
}

export interface Prometheus {
  /** An expression at every second since the start; rejects with what Prometheus says of it. */
  history(expr: string): Promise<Series[]>
  output: () => string
}

interface Answer {
  error?: string
  data?: { result: Array<{ metric: Record<string, string>; values: Array<[number, string]> }> }
}

/** `rules` is the text of a rule file; the job is `sidegate`, the namespace `shop`. */
export async function prometheus(t: Test, healthPorts: readonly number[], rules: string): Promise<Prometheus> {
  const directory = temporary(t)
  const port = freePort()
  const targets = healthPorts.map((one) => `'127.0.0.1:${one}'`).join(', ')
  writeFileSync(join(directory, 'rules.yaml'), rules)
  writeFileSync(
    join(directory, 'prometheus.yaml'),
    `global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yaml]
scrape_configs:
  - job_name: sidegate
    static_configs: [{ targets: [${targets}], labels: { namespace: shop } }]
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
      const body = new URLSearchParams({ query: expr, start: String(start), end: String(Date.now() / 1000), step: '1' })
      const response = await fetch(`http://127.0.0.1:${port}/api/v1/query_range`, { method: 'POST', body, headers: { connection: 'close' } })
      const { error, data } = (await response.json()) as Answer
      if (data === undefined) throw new Error(`${error}: ${expr}`)
      return data.result.map(({ metric, values }) => ({ metric, values: values.map(([, value]) => Number(value)).filter((value) => Number.isFinite(value)) }))
    },
  }
}

async function isReady(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/-/ready`, { headers: { connection: 'close' } })).ok
  } catch {
    return false
  }
}
