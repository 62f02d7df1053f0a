// The service of a listener of `protocol: http`: HTTP/1.1 with its upgrades, and HTTP/2, whose streams are
// served like connections of HTTP/1.1.

import type { ListenerConfig } from '../config/schema.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { NOTHING } from '../core/nothing.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { RequestHead } from '../http1/head.ts'
import type { HttpContext, HttpOptions } from '../http1/options.ts'
import { serveHttp } from '../http1/serve.ts'
import type { FirstRequest } from '../http1/serve.ts'
import type { Http2Context, StreamServers } from '../http2/options.ts'
import { serveHttp2 } from '../http2/serve.ts'
import type { ServeContext } from '../opening/opening.ts'
import { serveUpgrade, serveWebSocket } from '../websocket/serve.ts'
import type { WebSocketOptions } from '../websocket/serve.ts'
import { wsParts } from '../websocket/ws-parts.ts'
import { http2Options, speaksH2c } from './http2-options.ts'
import { httpOptions, websocketOptions } from './options.ts'
import type { Served } from './options.ts'

export type Serve = (connection: Connection, client: Endpoint) => void

export interface HttpParts extends Pick<HttpContext, 'leaving' | 'onExchange'> {
  clients: HttpContext['clients'] & WebSocketOptions['clients']
  registry: Registry
  /** `onClosed` of the context, for a stream, which has no place of its own. */
  onStreamClosed: (connection: Connection) => void
}

type Upgraded = ReturnType<typeof websocketOptions>

export function httpServer(
  config: ListenerConfig,
  served: Served,
  serving: ServeContext,
  parts: HttpParts,
): Serve {
  const plain = httpOptions(config, served)
  const upgraded = websocketOptions(config, served)
  if (upgraded.messages !== null && upgraded.upgrade.compression === 'on') wsParts()
  const { context, options } = http1Server(serving, parts, plain, upgraded)
  const onClosed = (connection: Connection): void => {
    parts.onStreamClosed(connection)
    connection.session!.onStreamClosed(connection)
  }
  const { servePlain, serveUpgrade: upgrade } = http1Server({ ...serving, onClosed }, parts, plain, upgraded)
  const streams = { servePlain, serveUpgrade: upgrade, onRefused: onClosed }
  const http2 = http2Server(config, served, serving, { parts, streams })
  Object.assign(options, { serveHttp2: speaksH2c(config) ? http2 : null })
  return (connection, client) =>
    connection.protocol === 'h2'
      ? http2(connection, client, NOTHING)
      : serveWebSocket(connection, client, options, context)
}

function http1Server(
  serving: ServeContext,
  { clients, leaving, onExchange }: HttpParts,
  plain: HttpOptions,
  upgraded: Upgraded,
) {
  const context: HttpContext = {
    ...serving,
    clients,
    leaving,
    onExchange,
    serveUpgrade: (connection: Connection, client: Endpoint, request: RequestHead, early: Buffer) =>
      serveUpgrade(connection, client, { request, early }, { options, context }),
  }
  const servePlain = (connection: Connection, client: Endpoint, first: FirstRequest): void =>
    serveHttp(connection, client, first, { options: plain, context })
  const options: WebSocketOptions = Object.assign({ serveHttp2: null }, upgraded, { clients, servePlain })
  return { context, options, servePlain, serveUpgrade: context.serveUpgrade }
}

function http2Server(
  config: ListenerConfig,
  served: Served,
  serving: ServeContext,
  { parts: { registry, leaving }, streams }: { parts: HttpParts; streams: StreamServers },
) {
  const options = http2Options(config, served)
  const context: Http2Context = { ...serving, registry, leaving, streams }
  return (connection: Connection, client: Endpoint, early: Buffer): void =>
    serveHttp2(connection, client, early, { options, context })
}
