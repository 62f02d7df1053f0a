// The content of a panel, as data: its queries and, for a reader in trouble, its meaning and what to do.

export interface Query {
  expr: string
  /** `{{reason}}`: the labels that name a line. */
  legend: string
}

export interface Panel {
  title: string
  /** The content, in words. */
  shows: string
  /** What an operator does about it. */
  act: string
  kind: 'lines' | 'stacked' | 'number' | 'heatmap' | 'table'
  /** Grafana's name of a unit: short, s, bytes, Bps, cps, percentunit. */
  unit: string
  queries: readonly Query[]
  /** Of 24 columns. */
  width: number
  height?: number
  /** Values from which a number turns orange and red. */
  warnAt?: number
  badAt?: number
  min?: number
  max?: number
  /** The alert whose runbook goes on from here. */
  runbook?: string
}

export interface Row {
  title: string
  panels: readonly Panel[]
}

export interface DashboardSpec {
  file: string
  uid: string
  title: string
  description: string
  rows: readonly Row[]
}
