// Three parts of prom-client, without the rest that its index loads: the push gateway takes https, the
// default metrics and the cluster more, 10 MB of an idle process together (Node 26.10, resident memory).

import type * as PromClient from 'prom-client'
import { latePackage } from '../core/late.ts'

export const Registry = latePackage('prom-client/lib/registry') as typeof PromClient.Registry
export const Counter = latePackage('prom-client/lib/counter') as typeof PromClient.Counter
export const Gauge = latePackage('prom-client/lib/gauge') as typeof PromClient.Gauge
export type Registry = PromClient.Registry
export type Counter<T extends string = string> = PromClient.Counter<T>
export type Gauge<T extends string = string> = PromClient.Gauge<T>
export type Metric = PromClient.Metric
