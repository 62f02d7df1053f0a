// Services that keep to HTTP in their own way: a client gets the same through the gate as from the service
// directly.

import t, { test } from 'tap'
import type { Test } from 'tap'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pattern, sha256 } from '../support/bytes.ts'
import { listen } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

const big = pattern(3_000_000)

async function curl(t: Test, ...args: string[]): Promise<string> {
  const tool = runTool(t, 'curl', ['-sS', '--max-time', '60', ...args])
  t.equal(await tool.exited, 0, tool.output().slice(0, 200))
  return tool.output()
}

/** A program of Python's that gets its port as an argument. */
async function pythonService(t: Test, args: (port: number) => string[]): Promise<string> {
  const port = freePort()
  runTool(t, 'python3', args(port))
  await whenListening(port)
  const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${port}"`)
  return `http://127.0.0.1:${gate.port}`
}

test('http.server of Python, which answers as HTTP/1.0 and closes', needs('python3', 'curl'), async (t) => {
  const directory = temporary(t)
  writeFileSync(join(directory, 'big'), big)
  const url = await pythonService(t, (port) => [
    '-m',
    'http.server',
    '-b',
    '127.0.0.1',
    '-d',
    directory,
    String(port),
  ])
  const file = join(directory, 'got')
  t.match(
    await curl(t, '-v', `${url}/big`, '-o', file, `${url}/big`, '-o', `${file}2`),
    /Re-using existing connection/,
  )
  const sums = runTool(t, 'sha256sum', [file, `${file}2`])
  await sums.exited
  t.equal(sums.output().split(sha256(big)).length, 3)
  t.match(await curl(t, '-I', `${url}/big`), /Content-length: 3000000/i)
  t.match(await curl(t, '-i', `${url}/none`), /^HTTP\/1\.1 404 /)
  t.match(await curl(t, '-i', '-d', 'x', `${url}/big`), /^HTTP\/1\.1 501 /, 'it knows no POST')
})

const keepsTwoSeconds = `
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    timeout = 2
    def answer(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body) + 2))
        self.end_headers()
        self.wfile.write(b'ok' + body)
    do_GET = do_POST = answer
    def log_message(self, *args): pass
ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()
`

test(
  'a service that keeps its connections for two seconds, as application servers do',
  needs('python3', 'curl'),
  async (t) => {
    const url = await pythonService(t, (port) => ['-c', keepsTwoSeconds, String(port)])
    for (const ms of [0, 0, 1990, 2000, 2010]) {
      await new Promise((resolve) => setTimeout(resolve, ms))
      t.equal(await curl(t, url), 'ok', `${ms} ms after the one before`)
      t.equal(await curl(t, '-d', 'body', url), 'okbody')
    }
  },
)

const refusesEarly = `
import socket, sys, time
server = socket.create_server(('127.0.0.1', int(sys.argv[1])), backlog=100)
while True:
    peer, _ = server.accept()
    head = peer.recv(4096)
    if not head: continue
    if b'/linger' in head: time.sleep(0.001)
    peer.sendall(b'HTTP/1.1 413 Too Large\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nno\\n')
    peer.close()
`

test('a service that answers before it has read a body, and closes', needs('python3', 'curl'), async (t) => {
  const url = await pythonService(t, (port) => ['-c', refusesEarly, String(port)])
  const file = join(temporary(t), 'big')
  writeFileSync(file, big)
  for (let nth = 0; nth < 10; nth++)
    t.match(
      await curl(t, '-i', '-T', file, '-H', 'Expect:', `${url}/${nth % 2 === 0 ? 'linger' : ''}`),
      /^HTTP\/1\.1 413 [^]*no\n$/,
    )
})

test('a service that closes a millisecond after its answer, without a word', needs('curl'), async (t) => {
  const service = await listen(t, async (wire) => {
    const asked = await wire.readUntil('\r\n\r\n').catch(() => null)
    if (asked === null) return wire.end()
    await wire.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    setTimeout(() => wire.end(), 1)
  })
  const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${service.port}"`)
  const urls = Array.from({ length: 100 }, () => `http://127.0.0.1:${gate.port}/`)
  t.equal(await curl(t, ...urls), 'ok'.repeat(100))
})

test('a service that speaks LF, and has no reason to give', needs('curl'), async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\nContent-Length: 2\n\nok',
    'HTTP/1.1 200\nTransfer-Encoding: chunked\n\n2\nok\n0\n\n',
    'HTTP/1.0 200 OK\n\nok',
  ]
  const service = await listen(t, async (wire) => {
    for (;;) {
      const head = await wire.readUntil('\r\n\r\n').catch(() => null)
      if (head === null) return wire.end()
      const answer = answers[Number(/^GET \/(\d)/.exec(head.toString())![1])]!
      await wire.write(answer)
      if (answer.includes('1.0')) return wire.end()
    }
  })
  const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${service.port}"`)
  for (const nth of answers.keys())
    t.equal(await curl(t, `http://127.0.0.1:${gate.port}/${nth}`), 'ok', answers[nth]!)
})
