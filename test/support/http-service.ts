// Services of Node's own http: what a legacy application behind the gate is made of.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { sha256 } from './bytes.ts'

/** Its port, on loopback. It ends with the test, and its connections with it. */
export async function httpService(t: Test, serve: RequestListener): Promise<number> {
  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** `/big` is answered with these bytes, `/cut` with a part of what was announced, the rest with what came: method, target, framing and digest. */
export const tellsWhatCame =
  (big: Buffer): RequestListener =>
  (request, response) => {
    if (request.url === '/big') return void response.end(big)
    if (request.url === '/cut') {
      response.writeHead(200, { 'Content-Length': 1000 })
      response.write('part')
      return void setTimeout(() => response.destroy(), 50)
    }
    const pieces: Buffer[] = []
    request.on('data', (chunk: Buffer) => pieces.push(chunk))
    request.on('end', () =>
      response.end(
        `${request.method} ${request.url} ${request.headers['transfer-encoding'] ?? request.headers['content-length'] ?? '-'} ${sha256(...pieces)}`,
      ),
    )
  }
