// The options of HTTP/2 towards clients, from the configuration.

import type { ListenerConfig } from '../config/schema.ts'
import type { Http2Options } from '../http2/options.ts'
import { serveOptions } from './options.ts'
import type { Served } from './options.ts'

export function http2Options(config: ListenerConfig, served: Served): Http2Options {
  const { http } = config
  return {
    pair: serveOptions(config, served).pair,
    deadlines: served.deadlines,
    maxStreams: http.maxStreams,
    maxHeaderBytes: http.maxHeaderBytes,
    keepAliveMs: http.keepAliveMs,
  }
}

/** Clients may speak HTTP/2. */
export function speaksHttp2(config: ListenerConfig): boolean {
  const { protocol, tls, http } = config
  return protocol === 'http' && (tls === null ? speaksH2c(config) : http.versions.includes('h2'))
}

/** HTTP/2 without TLS, by prior knowledge. */
export function speaksH2c({ http, tls }: ListenerConfig): boolean {
  return http.h2c === 'on' && tls === null
}
