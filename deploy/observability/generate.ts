// Writes deploy/grafana, deploy/monitoring and docs/monitoring.md from the lists in this folder. `--check` writes nothing and exits 1 where a file
// is out of date. Run as `node deploy/observability/generate.ts`.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { buildDashboard } from './dashboard.ts'
import { monitoringPage } from './monitoring-page.ts'
import { overview } from './overview.ts'
import { podMonitor, prometheusRule, rulesFile } from './rules.ts'
import { trouble } from './trouble.ts'

/** Every file, by its path in deploy/. */
function documents(): Record<string, string> {
  const dashboards = [overview, trouble].map((spec) => [`grafana/${spec.file}`, `${JSON.stringify(buildDashboard(spec), null, 2)}\n`])
  return {
    ...Object.fromEntries(dashboards),
    'monitoring/rules.yaml': rulesFile(),
    'monitoring/prometheusrule.yaml': prometheusRule(),
    'monitoring/podmonitor.yaml': podMonitor(),
    '../docs/monitoring.md': monitoringPage(),
  }
}

function main(isCheck: boolean): number {
  let stale = 0
  for (const [name, text] of Object.entries(documents())) {
    const url = new URL(`../${name}`, import.meta.url)
    if (current(url) === text) continue
    if (isCheck) process.stderr.write(`${new URL(name, 'file:///deploy/').pathname.slice(1)} is out of date, run node deploy/observability/generate.ts\n`)
    else {
      mkdirSync(new URL('.', url), { recursive: true })
      writeFileSync(url, text)
    }
    stale++
  }
  return isCheck && stale > 0 ? 1 : 0
}

function current(url: URL): string | null {
  try {
    return readFileSync(url, 'utf8')
  } catch {
    return null
  }
}

process.exitCode = main(process.argv.includes('--check'))
