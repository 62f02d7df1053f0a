// The service level of a workload: the share of clients' requests and connections that the service or the
// gate failed (sidegate_outcomes_total), how fast that uses up the budget of 30 days, and the panels that
// show it. A workload is a namespace and a job.

import type { Alert, Recording } from './alerts.ts'
import { selector, sumRate } from './metrics.ts'
import type { Row } from './panel.ts'

const outcomes = 'sidegate_outcomes_total'
const bad = { outcome: 'bad' }
/** One of a thousand may fail. */
const BUDGET = 0.001
/**
 * The failures that a page needs in an hour, however little traffic there is: three of sixty in an hour wake
 * nobody. A warning needs so many in its window.
 */
const FLOOR = 10

const hours = { '5m': 1 / 12, '30m': 0.5, '1h': 1, '2h': 2, '6h': 6, '1d': 24, '3d': 72 } as const
type Window = keyof typeof hours
const windows = Object.keys(hours) as Window[]

const rateName = (window: Window): string => `namespace_job:sidegate_outcomes_bad:rate${window}`
const ratioName = (window: Window): string => `namespace_job:sidegate_outcomes_bad:ratio_rate${window}`

function recorded(window: Window): Recording[] {
  const sum = (series: string): string => `sum by (namespace, job) (rate(${series}[${window}]))`
  return [
    { record: rateName(window), expr: sum(selector(outcomes, bad)) },
    { record: ratioName(window), expr: `${rateName(window)} / (${sum(selector(outcomes))} > 0)` },
  ]
}

export const levelRecordings: readonly Recording[] = windows.flatMap(recorded)

interface Burn {
  long: Window
  short: Window
  /** How many times as fast as the budget allows. */
  factor: number
  /** The least number of failures in the long window. */
  least: number
}

/** A long and a short window and the burn rate of the budget: the multi-window alerts of the SRE workbook. */
function burn({ long, short, factor, least }: Burn): string {
  const limit = Number((factor * BUDGET).toFixed(6))
  return `(${ratioName(long)} > ${limit} and ${ratioName(short)} > ${limit} and ${rateName(long)} * ${hours[long] * 3600} >= ${least})`
}

const place = 'namespace, job, instance, pod, listener'
const here = (series: string): string => `sum by (${place}) (increase(${series}[10m]))`

export const levelAlerts: readonly Alert[] = [
  {
    name: 'SidegateErrorBudgetBurn',
    expr: [
      burn({ long: '1h', short: '5m', factor: 14.4, least: FLOOR }),
      burn({ long: '6h', short: '30m', factor: 6, least: 6 * FLOOR }),
    ].join(' or '),
    for: '2m',
    severity: 'critical',
    summary: 'Clients of {{ $labels.namespace }}/{{ $labels.job }} are failed',
    description:
      '{{ $value | humanizePercentage }} of what they came for was failed by the service or the gate; the budget of 0.1 % is gone within days.',
  },
  {
    name: 'SidegateErrorBudgetSlowBurn',
    expr: [
      burn({ long: '1d', short: '2h', factor: 3, least: FLOOR }),
      burn({ long: '3d', short: '6h', factor: 1, least: FLOOR }),
    ].join(' or '),
    for: '1h',
    severity: 'warning',
    summary: 'Clients of {{ $labels.namespace }}/{{ $labels.job }} are failed now and then',
    description:
      '{{ $value | humanizePercentage }} of what they came for was failed by the service or the gate, more than the budget of 0.1 %.',
  },
  {
    name: 'SidegateInstanceFailing',
    expr: `${here(selector(outcomes, bad))} / ${here(selector(outcomes))} > 0.5 and ${here(selector(outcomes, bad))} >= 5`,
    for: '2m',
    severity: 'critical',
    summary:
      'Pod {{ $labels.pod }} ({{ $labels.instance }}) of {{ $labels.namespace }}/{{ $labels.job }} fails its clients at {{ $labels.listener }}',
    description: '{{ $value | humanizePercentage }} of what came to this one was failed.',
  },
]

export const levelRow: Row = {
  title: 'Service level',
  panels: [
    {
      title: 'Failing share by workload',
      kind: 'lines',
      unit: 'percentunit',
      width: 12,
      min: 0,
      warnAt: BUDGET,
      badAt: 14.4 * BUDGET,
      shows:
        'Of all requests, tcp connections and WebSockets that came to an end: those that the service or the gate failed. The objective is one in a thousand.',
      act: 'The alert SidegateErrorBudgetBurn pages at 1.44 % for an hour. Look at the ends by reason below, and beside this for one pod that is dead.',
      queries: [
        {
          expr: `${sumRate(outcomes, ['namespace', 'job'], bad)} / ${sumRate(outcomes, ['namespace', 'job'])}`,
          legend: '{{job}}',
        },
      ],
    },
    {
      title: 'Failing share by pod',
      kind: 'lines',
      unit: 'percentunit',
      width: 12,
      min: 0,
      max: 1,
      badAt: 0.5,
      shows: 'The same for each gate and listener: a dead pod of two hundred shows here and nowhere else.',
      act: 'The alert SidegateInstanceFailing names it. Have its readiness probe ask for the service, so that it gets no traffic then.',
      queries: [
        {
          expr: `${sumRate(outcomes, ['instance', 'listener'], bad)} / ${sumRate(outcomes, ['instance', 'listener'])} > 0`,
          legend: '{{instance}} {{listener}}',
        },
      ],
    },
  ],
}
