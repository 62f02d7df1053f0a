// What Sidegate does without: node:http2 with http-proxy-3 behind it, over TLS and in the clear. `node bench/http-proxy-3.ts TLS-PORT PORT UPSTREAM CERT KEY`.

import { readFileSync } from 'node:fs'
import http from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import http2 from 'node:http2'
import { createProxyServer } from 'http-proxy-3'

const [tls, clear, upstream, cert, key] = process.argv.slice(2) as [string, string, string, string, string]
const agent = new http.Agent({ keepAlive: true })
const proxy = createProxyServer({ target: `http://127.0.0.1:${upstream}`, agent })
proxy.on('error', () => {})
const serve = (request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void => {
  proxy.web(request as unknown as IncomingMessage, response as unknown as ServerResponse)
}
http2
  .createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }, serve)
  .listen(Number(tls), '127.0.0.1')
http2.createServer(serve).listen(Number(clear), '127.0.0.1')
