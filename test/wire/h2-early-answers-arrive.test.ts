// An answer that is given before the upload that it answers is complete: whole, and then the rest of the upload is
// cancelled.

import { test, type Test } from 'tap'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { h2Service, rawH2Service } from '../support/h2-services.ts'
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

/** Three kinds of answers, ten of each. */
const early: { status: number; body: string; length?: number }[] = [
  { status: 204, body: '' },
  { status: 413, body: 'too much', length: 8 },
  { status: 403, body: 'no' },
]
const TOGETHER = 10 * early.length

/** Answers all requests at once, when all of them have come. */
function patient(): (say: (answer: (typeof early)[number]) => void) => void {
  const waiting: ((answer: (typeof early)[number]) => void)[] = []
  return (say) => {
    waiting.push(say)
    if (waiting.length === TOGETHER)
      for (const [nth, one] of waiting.entries()) one(early[nth % early.length]!)
  }
}

const patients: Record<string, (t: Test) => Promise<string>> = {
  'HTTP/1.1': async (t) => {
    const isAsked = patient()
    const port = await httpService(t, (_request, response) =>
      isAsked(({ status, body, length }) => {
        response.writeHead(status, length === undefined ? {} : { 'content-length': length })
        response.end(body)
      }),
    )
    return `"127.0.0.1:${port}"`
  },
  'HTTP/2': async (t) => {
    const isAsked = patient()
    const { port } = await h2Service(t, (stream) =>
      isAsked(({ status, body, length }) => {
        stream.respond({ ':status': status, ...(length === undefined ? {} : { 'content-length': length }) })
        stream.end(body)
      }),
    )
    return `{ addresses: ["127.0.0.1:${port}"], protocol: h2c }`
  },
  // As gRPC in Go ends a call that it has not read to its end.
  'HTTP/2 that cancels the rest itself': async (t) => {
    const isAsked = patient()
    const { port } = await rawH2Service(t, (send, id) =>
      isAsked(({ status, body, length }) => {
        const fields: h2.Field[] = [[':status', String(status)]]
        if (length !== undefined) fields.push(['content-length', String(length)])
        const isHead = body === ''
        send(h2.headers(id, h2.literals(...fields), h2.END_HEADERS | (isHead ? h2.END_STREAM : 0)))
        if (!isHead) send(h2.data(id, body, h2.END_STREAM))
        send(h2.rst(id, h2.codes.NO_ERROR))
      }),
    )
    return `{ addresses: ["127.0.0.1:${port}"], protocol: h2c }`
  },
}

for (const [what, serve] of Object.entries(patients))
  test(`${TOGETHER} at once, of a service of ${what}: none is lost for the end of its upload`, async (t) => {
    watchLeaks(t)
    const gate = await startGate(t, [`protocol: http, http: { h2c: on }, upstream: ${await serve(t)}`])
    const client = await rawH2(t, gate.port)
    const ids = Array.from({ length: TOGETHER }, () =>
      client.request(h2.request({ ':method': 'POST' }), null),
    )
    const came = await Promise.all(ids.map((id) => client.answer(id)))
    for (const { status, body } of early)
      t.equal(
        came.filter((one) => one.status === status && String(one.body) === body).length,
        10,
        `${status}`,
      )
    for (const id of ids) {
      const reset = await client.frame(({ type, stream }) => type === h2.kinds.RST_STREAM && stream === id)
      t.equal(reset?.payload.readUInt32BE(0), h2.codes.NO_ERROR)
    }
    client.wire.destroy()
  })
