// Bodies, byte for byte, from clients of each version of HTTP to services of each, both ways. glibc
// overwrites freed memory, so a buffer that is freed before its last read shows each time, and not once in a
// thousand.

import { test, type Test } from 'tap'
import http from 'node:http'
import http2 from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { within } from '../support/eventually.ts'
import { h2Connect } from '../support/h2-client.ts'
import { h2Service } from '../support/h2-services.ts'
import { httpService } from '../support/http-service.ts'
import { runProgram } from './program.ts'

/** Lengths around a frame, a piece, a window and a read. */
const SIZES = [1, 9000, 16_383, 16_384, 16_385, 30_000, 65_409, 65_535, 65_536, 70_000, 131_072, 200_000]
const AT_ONCE = 24
const source = Buffer.alloc(400_000)
for (let at = 0; at < source.length; at++) source[at] = 33 + ((at * 7 + (at >> 8)) % 90)

interface Asked {
  size: number
  /** Its offset in the source. */
  from: number
  /** Whether the request has the body, or only the answer. */
  isEcho: boolean
  /** Whether its head announces its length. */
  isCounted: boolean
}

const asked: Asked[] = SIZES.flatMap((size, nth) =>
  [true, false].flatMap((isEcho) =>
    [true, false].map((isCounted) => ({ size, from: 997 * nth + (isEcho ? 1 : 0), isEcho, isCounted })),
  ),
)

const pathOf = ({ size, from, isCounted }: Asked): string =>
  `/${from}/${size}/${isCounted ? 'counted' : 'open'}`

function bodyOf(path: string): { body: Buffer; isCounted: boolean } {
  const [, from, size, framing] = path.split('/')
  return {
    body: source.subarray(Number(from), Number(from) + Number(size)),
    isCounted: framing === 'counted',
  }
}

const services = {
  'HTTP/1.1': async (t: Test): Promise<string> => {
    const port = await httpService(t, (request, response) => {
      const { isCounted, body } = bodyOf(request.url!)
      void read(request).then((echo) => {
        const all = request.method === 'GET' ? body : echo
        response.writeHead(200, isCounted ? { 'content-length': all.length } : {})
        response.end(all)
      })
    })
    return `"127.0.0.1:${port}"`
  },
  h2c: async (t: Test): Promise<string> => {
    const { port } = await h2Service(t, (stream, headers) => {
      const { isCounted, body } = bodyOf(headers[':path']!)
      void read(stream).then((echo) => {
        const all = headers[':method'] === 'GET' ? body : echo
        stream.respond({ ':status': 200, ...(isCounted ? { 'content-length': all.length } : {}) })
        stream.end(all)
      })
    })
    return `{ addresses: ["127.0.0.1:${port}"], protocol: h2c }`
  },
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}

async function askOverH1(port: number, request: Asked): Promise<Buffer> {
  const { from, size, isEcho, isCounted } = request
  const sent = http.request({
    port,
    host: '127.0.0.1',
    agent: false,
    path: pathOf(request),
    method: isEcho ? 'POST' : 'GET',
    headers: isEcho && isCounted ? { 'content-length': size } : {},
  })
  sent.end(isEcho ? source.subarray(from, from + size) : undefined)
  return new Promise((resolve, reject) => {
    sent.on('error', reject)
    sent.on('response', (answer) => void read(answer).then(resolve, reject))
  })
}

async function askOverH2(session: ClientHttp2Session, request: Asked): Promise<Buffer> {
  const { from, size, isEcho, isCounted } = request
  const stream = session.request(
    {
      ':path': pathOf(request),
      ':method': isEcho ? 'POST' : 'GET',
      ...(isEcho && isCounted ? { 'content-length': size } : {}),
    },
    { endStream: !isEcho },
  )
  if (isEcho) stream.end(source.subarray(from, from + size))
  const body = await read(stream)
  if (stream.rstCode !== http2.constants.NGHTTP2_NO_ERROR) throw new Error(`RST_STREAM ${stream.rstCode}`)
  return body
}

/** The number of `asked` bodies that came back changed. */
async function wrong(ask: (request: Asked) => Promise<Buffer>): Promise<string[]> {
  const found: string[] = []
  const left = [...asked, ...asked, ...asked]
  const one = async (): Promise<void> => {
    for (let request = left.pop(); request !== undefined; request = left.pop()) {
      const { from, size } = request
      const got = await within(ask(request), { what: pathOf(request) })
      if (!got.equals(source.subarray(from, from + size)))
        found.push(`${pathOf(request)} ${request.isEcho ? 'echo' : 'answer'}`)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, one))
  return found
}

for (const [name, serve] of Object.entries(services))
  test(`to a service that speaks ${name}`, async (t) => {
    const program = await runProgram(t, [`protocol: http, http: { h2c: on }, upstream: ${await serve(t)}`], {
      under: ['env', 'MALLOC_PERTURB_=165'],
    })
    t.same(await wrong((request) => askOverH1(program.port, request)), [], 'over HTTP/1.1')
    const session = await h2Connect(t, program.port)
    t.same(await wrong((request) => askOverH2(session, request)), [], 'over HTTP/2')
    session.close()
  })
