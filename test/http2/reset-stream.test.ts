// The end of a stream by RST_STREAM, over real sessions of Node.

import http2 from 'node:http2'
import type { Http2Stream } from 'node:http2'
import type net from 'node:net'
import { test } from 'tap'
import type { Test } from 'tap'
import { dropStream, resetAtService, resetStream } from '../../src/http2/reset-stream.ts'

const { NGHTTP2_CANCEL: CANCEL, NGHTTP2_INTERNAL_ERROR: INTERNAL_ERROR } = http2.constants

interface Line {
  client: http2.ClientHttp2Stream
  service: http2.ServerHttp2Stream
}

/** A request that is answered, neither of which has ended. */
async function line(t: Test): Promise<Line> {
  const server = http2.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const session = http2.connect(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}`)
  t.teardown(async () => {
    session.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const asked = new Promise<http2.ServerHttp2Stream>((resolve) => server.on('stream', resolve))
  const client = session.request({ ':method': 'POST' }, { endStream: false, waitForTrailers: true })
  const service = await asked
  service.respond({ ':status': 200 }, { waitForTrailers: true })
  await new Promise((resolve) => client.on('response', resolve))
  for (const stream of [client, service]) {
    stream.on('error', () => {})
    stream.on('wantTrailers', () => stream.sendTrailers({}))
  }
  return { client, service }
}

const closed = (stream: Http2Stream): Promise<number> =>
  new Promise((resolve) => stream.on('close', () => resolve(stream.rstCode)))

for (const end of [resetStream, dropStream])
  for (const side of ['client', 'service'] as const)
    for (const code of [CANCEL, INTERNAL_ERROR])
      for (const hasEnded of [true, false])
        test(`${end.name} ${code} of the ${side} in a read of its connection, ${hasEnded ? 'in the turn in which its body ended' : 'amid its body'}`, async (t) => {
          const both = await line(t)
          const [own, other] = side === 'client' ? [both.client, both.service] : [both.service, both.client]
          other.resume()
          const seen = closed(other)
          own.once('data', () => {
            if (hasEnded) own.end()
            end(own, code)
          })
          other.write('x')
          t.equal(await seen, code)
          t.equal(own.rstCode, code)
          if (end === dropStream) t.ok(own.destroyed)
        })

test('a stream that is closed is not reset, and dropped all the same', async (t) => {
  const { client } = await line(t)
  client.close(INTERNAL_ERROR)
  resetStream(client, CANCEL)
  t.equal(client.rstCode, INTERNAL_ERROR)
  dropStream(client, CANCEL)
  t.ok(client.destroyed)
  t.equal(client.rstCode, INTERNAL_ERROR)
})

test('at a service, a stream is cancelled at once, and reset by another code after the read; its body does not end in between', async (t) => {
  for (const code of [CANCEL, INTERNAL_ERROR]) {
    const { client, service } = await line(t)
    service.resume()
    const seen = closed(service)
    client.once('data', () => {
      resetAtService(client, code)
      t.equal(client.closed, code === CANCEL)
      client.end()
      t.notOk(client.writableEnded)
      resetAtService(client, code)
    })
    service.write('x')
    t.equal(await seen, code)
    t.equal(client.rstCode, code)
  }
})
