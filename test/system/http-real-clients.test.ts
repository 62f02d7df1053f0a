// Real clients on plain HTTP: everything that each of them sends by itself arrives as it would without a
// gate.

import t, { test } from 'tap'
import type { Test } from 'tap'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pattern, sha256 } from '../support/bytes.ts'
import { needs, program, runTool, temporary } from '../support/tools.ts'
import type { Program } from '../support/tools.ts'

t.setTimeout(240_000)

const MB = 1_000_000
const LARGE = 200 * MB
const block = pattern(MB)

/** Answers with as many bytes as the path says, ranges of them too, or with the request. */
async function behindGate(t: Test): Promise<Program & { connections: () => number }> {
  let connections = 0
  const server = http.createServer((request, response) => {
    const size = Number(/^\/bytes\/(\d+)/.exec(request.url!)?.[1] ?? -1)
    if (size >= 0) return void send(request, response, size)
    const hash = createHash('sha256')
    let length = 0
    request.on('data', (chunk: Buffer) => (hash.update(chunk), (length += chunk.length)))
    request.on('end', () => response.end(`${request.method} ${length} ${hash.digest('hex')}\n`))
  })
  server.on('connection', () => connections++)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => (server.closeAllConnections(), server.close()))
  const { port } = server.address() as AddressInfo
  const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${port}"`)
  return { ...gate, connections: () => connections }
}

async function send(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  size: number,
): Promise<void> {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
  if (range !== null) {
    const [from, to] = [Number(range[1]), Number(range[2])]
    response.writeHead(206, { 'Content-Range': `bytes ${from}-${to}/${size}` })
    return void response.end(block.subarray(from, to + 1))
  }
  response.writeHead(200, { 'Content-Length': size })
  for (let left = size; left > 0; left -= block.length)
    if (!response.write(left < block.length ? block.subarray(0, left) : block)) await once(response, 'drain')
  response.end()
}

/** The digest of `size` bytes. */
function hashOf(size: number): string {
  const hash = createHash('sha256')
  for (let left = size; left > 0; left -= block.length)
    hash.update(left < block.length ? block.subarray(0, left) : block)
  return hash.digest('hex')
}

async function run(t: Test, command: string, ...args: string[]): Promise<string> {
  const tool = runTool(t, command, args)
  t.equal(await tool.exited, 0, `${command} ${args.join(' ').slice(0, 80)}`)
  return tool.output()
}

const shell = (t: Test, script: string): Promise<string> => run(t, 'sh', '-ec', script)

test(
  'curl downloads and uploads 200 MB, in both versions, and ranges, and keeps its connection',
  needs('curl', 'sha256sum'),
  async (t) => {
    const gate = await behindGate(t)
    const url = `http://127.0.0.1:${gate.port}`
    const large = hashOf(LARGE)
    const before = gate.rss()
    t.match(await shell(t, `curl -sS ${url}/bytes/${LARGE} | sha256sum`), large)
    t.match(await shell(t, `curl -sS -0 ${url}/bytes/${LARGE} | sha256sum`), large, 'HTTP/1.0')
    t.match(
      await shell(t, `curl -sS ${url}/bytes/${LARGE} | curl -sS -T - ${url}/up`),
      `PUT ${LARGE} ${large}`,
      'chunked',
    )
    const file = join(temporary(t), 'large')
    writeFileSync(file, Buffer.concat(Array.from({ length: 20 }, () => block)))
    t.match(
      await run(t, 'curl', '-sS', '-T', file, `${url}/up`),
      `PUT ${20 * MB} ${hashOf(20 * MB)}`,
      'Expect',
    )
    t.ok(gate.rss() - before < 60 * MB, `${((gate.rss() - before) / MB).toFixed(0)} MB more than before`)
    const part = await shell(t, `curl -sS -r 1000-2999 -o - ${url}/bytes/${MB} | sha256sum`)
    t.match(part, sha256(block.subarray(1000, 3000)))
    t.match(
      await run(t, 'curl', '-sS', '-I', `${url}/bytes/5`),
      /^HTTP\/1\.1 200 OK\r\n[^]*Content-Length: 5\r\n/,
    )
    t.match(
      await run(t, 'curl', '-sS', '-v', `${url}/bytes/1`, `${url}/bytes/2`),
      /Re-using existing connection/,
    )
  },
)

test('a client that ends its half behind its request gets 20 MB', needs('ncat', 'sha256sum'), async (t) => {
  const gate = await behindGate(t)
  const answer = join(temporary(t), 'answer')
  for (const version of ['1.0', '1.1']) {
    const request = `GET /bytes/${20 * MB} HTTP/${version}\\r\\nHost: a\\r\\n\\r\\n`
    await shell(t, `printf '${request}' | ncat 127.0.0.1 ${gate.port} > ${answer}`)
    const body = await shell(t, `tail -c ${20 * MB} ${answer} | sha256sum; head -c 15 ${answer}`)
    t.match(body, hashOf(20 * MB))
    t.match(body, 'HTTP/1.1 200 OK')
  }
})

const python = `
import hashlib, http.client, sys, urllib.request
port = int(sys.argv[1])
kept = http.client.HTTPConnection('127.0.0.1', port)
for size in (0, 1, 70000, 1000000):
    kept.request('GET', f'/bytes/{size}')
    answer = kept.getresponse()
    print(answer.status, hashlib.sha256(answer.read()).hexdigest())
sock = kept.sock
kept.request('HEAD', '/bytes/9')
answer = kept.getresponse()
print(answer.status, answer.getheader('content-length'), len(answer.read()))
kept.request('PATCH', '/up', body=(b'x' * 1000 for _ in range(50)), encode_chunked=True, headers={'Transfer-Encoding': 'chunked'})
print(kept.getresponse().read().decode())
assert kept.sock is sock, 'its connection was kept'
with urllib.request.urlopen(f'http://127.0.0.1:{port}/bytes/1000000') as answer:
    print(answer.status, len(answer.read()))
with urllib.request.urlopen(urllib.request.Request(f'http://127.0.0.1:{port}/up', data=b'y' * 100000)) as answer:
    print(answer.read().decode())
`

test(
  'http.client keeps its connection over every kind of request, and urllib closes its own',
  needs('python3'),
  async (t) => {
    const gate = await behindGate(t)
    const said = (await run(t, 'python3', '-c', python, String(gate.port)))
      .split('\n')
      .filter((line) => line !== '')
    t.same(said, [
      ...[0, 1, 70_000, MB].map((size) => `200 ${hashOf(size)}`),
      '200 9 0',
      `PATCH 50000 ${sha256('x'.repeat(50_000))}`,
      `200 ${MB}`,
      `POST 100000 ${sha256('y'.repeat(100_000))}`,
    ])
  },
)

test('fetch of Node keeps its connections, also with streams that it sends', async (t) => {
  const gate = await behindGate(t)
  const url = `http://127.0.0.1:${gate.port}`
  for (let nth = 0; nth < 20; nth++) {
    const answer = await fetch(`${url}/bytes/${nth * 1000}`)
    t.equal((await answer.arrayBuffer()).byteLength, nth * 1000)
  }
  const body = new ReadableStream({
    start(controller) {
      for (let nth = 0; nth < 10; nth++) controller.enqueue(block)
      controller.close()
    },
  })
  const sent = await fetch(`${url}/up`, { method: 'POST', body, duplex: 'half' })
  t.equal(await sent.text(), `POST ${10 * MB} ${hashOf(10 * MB)}\n`)
  const cut = new AbortController()
  const aborted = await fetch(`${url}/bytes/${LARGE}`, { signal: cut.signal })
  cut.abort()
  await t.rejects(aborted.arrayBuffer())
  t.equal((await fetch(`${url}/bytes/3`)).status, 200, 'who breaks one off asks again')
  t.ok(gate.connections() < 10, `${gate.connections()} connections to the service`)
})

test('wrk sees no error on fifty connections', needs('wrk'), async (t) => {
  const gate = await behindGate(t)
  const said = await run(t, 'wrk', '-t1', '-c50', '-d2s', `http://127.0.0.1:${gate.port}/bytes/100`)
  t.match(said, /\d+ requests in/)
  t.notMatch(said, /Socket errors|Non-2xx/)
})
