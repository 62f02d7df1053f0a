// An answer without a length, given before the upload that it answers is complete: whole, and then the rest of the
// upload is cancelled.

import { test, type Test } from 'tap'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { h2Service } from '../support/h2-services.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

const services: Record<string, (t: Test) => Promise<string>> = {
  'HTTP/1.1': async (t) =>
    `"127.0.0.1:${await httpService(t, (_request, response) => {
      response.writeHead(403, { trailer: 'x-sum' })
      response.write('no')
      response.addTrailers({ 'x-sum': '42' })
      response.end()
    })}"`,
  'HTTP/2': async (t) => {
    const { port } = await h2Service(t, (stream) => {
      stream.respond({ ':status': 403 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }))
      stream.end('no')
    })
    return `{ addresses: ["127.0.0.1:${port}"], protocol: h2c }`
  },
}

for (const [what, serve] of Object.entries(services))
  test(`of a service of ${what}`, async (t) => {
    watchLeaks(t)
    const gate = await startGate(t, [`protocol: http, http: { h2c: on }, upstream: ${await serve(t)}`])
    const client = await rawH2(t, gate.port)
    const id = client.request(h2.request({ ':method': 'POST' }), null)
    await client.send(h2.data(id, 'begins'))
    t.match(await client.answer(id), { status: 403, body: Buffer.from('no'), trailers: { 'x-sum': '42' } })
    const reset = await client.frame(({ type }) => type === h2.kinds.RST_STREAM)
    t.equal(reset!.payload.readUInt32BE(0), h2.codes.NO_ERROR)
    t.match(await gate.end(), { reason: 'eof' })
    client.wire.destroy()
  })
