// Three parts of prom-client, without the rest that its index loads: the push gateway takes https, the
// default metrics and the cluster more, 10 MB of an idle process together (Node 26.10, resident memory).

import type * as PromClient from 'prom-client'

const require = process.getBuiltinModule('node:module').createRequire(import.meta.url)

export const Registry = require('prom-client/lib/registry') as typeof PromClient.Registry
export const Counter = require('prom-client/lib/counter') as typeof PromClient.Counter
export const Gauge = require('prom-client/lib/gauge') as typeof PromClient.Gauge
export type Registry = PromClient.Registry
export type Counter<T extends string = string> = PromClient.Counter<T>
export type Gauge<T extends string = string> = PromClient.Gauge<T>
export type Metric = PromClient.Metric
