// Writes deploy/grafana, deploy/monitoring and docs/monitoring.md from the lists in this folder. `--check`
// writes nothing and exits 1 where a file is out of date. Run as `node deploy/observability/generate.ts`.

import { dirname } from 'node:path'
import { writeOrCheck } from '../../docs/generated.ts'
import { buildDashboard } from './dashboard.ts'
import { monitoringPage } from './monitoring-page.ts'
import { overview } from './overview.ts'
import { podMonitor, prometheusRule, rulesFile } from './rules.ts'
import { trouble } from './trouble.ts'

/** Every file, by its path in deploy/. */
function documents(): Record<string, string> {
  const dashboards = [overview, trouble].map((spec) => [
    `grafana/${spec.file}`,
    `${JSON.stringify(buildDashboard(spec), null, 2)}\n`,
  ])
  return {
    ...Object.fromEntries(dashboards),
    'monitoring/rules.yaml': rulesFile(),
    'monitoring/prometheusrule.yaml': prometheusRule(),
    'monitoring/podmonitor.yaml': podMonitor(),
    '../docs/monitoring.md': monitoringPage(),
  }
}

process.exitCode = writeOrCheck({
  folder: dirname(import.meta.dirname),
  files: documents(),
  generator: 'deploy/observability/generate.ts',
})
