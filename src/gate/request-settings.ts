// The settings of a listener that hold for a request or an upgrade when it begins, whatever connection it
// comes on: those of the rest hold for a connection from its accept on (TLS, buffers), or for all of them at
// once (deadlines, pings, the number of places).

import type { ListenerConfig } from '../config/schema.ts'
import { upstreamSettings } from './upstream-runtime.ts'

export function requestSettings(config: ListenerConfig): unknown {
  const { access, http, websocket, limits } = config
  return {
    upstream: upstreamSettings(config),
    access,
    http,
    websocket: { ...websocket, ping: null },
    limits: { ...limits, connections: null },
  }
}
