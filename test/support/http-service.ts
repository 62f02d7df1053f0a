// Services by Node's own http, as a typical legacy application behind the gate.

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { sha256 } from './bytes.ts'

/** Returns its port, on loopback. The service and its connections end with the test. */
export async function httpService(t: Test, serve: RequestListener): Promise<number> {
  const server = createServer(serve).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Answers `/big` with these bytes, `/cut` with a part of the announced length, other targets with the request's method, target, framing and digest. */
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
