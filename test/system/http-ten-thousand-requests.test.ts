import t, { test } from 'tap'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from '../support/eventually.ts'
import { program } from '../support/tools.ts'

t.setTimeout(240_000)

test('10,000 requests over 50 kept-alive connections: none fails, descriptors and memory come back', async (t) => {
  const served = new Map<string, number>()
  const server = http.createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => {
      served.set(request.url!, (served.get(request.url!) ?? 0) + 1)
      if (request.url!.endsWith('0')) response.write(`${request.method} `)
      response.end(`${request.url} ${body}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const gate = await program(
    t,
    `protocol: http, upstream: "127.0.0.1:${(server.address() as AddressInfo).port}"`,
  )
  const before = gate.descriptors()
  let failed = 0
  const ask = (agent: http.Agent, path: string, method: string): Promise<void> =>
    new Promise((resolve) => {
      const request = http.request(
        { port: gate.port, host: '127.0.0.1', agent, path, method },
        (response) => {
          let body = ''
          response.on('data', (chunk: Buffer) => (body += chunk.toString()))
          response.on('end', () => {
            const expected = `${path.endsWith('0') ? `${method} ` : ''}${path} ${method === 'POST' ? 'hello' : ''}`
            if (response.statusCode !== 200 || body !== expected) failed++
            resolve()
          })
        },
      )
      request.on('error', () => {
        failed++
        resolve()
      })
      request.end(method === 'POST' ? 'hello' : undefined)
    })
  const round = async (name: string): Promise<void> => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 50 })
    await Promise.all(
      Array.from({ length: 10_000 }, (_, i) => ask(agent, `/${name}/${i}`, i % 3 === 0 ? 'POST' : 'GET')),
    )
    agent.destroy()
    await eventually(() => gate.descriptors() <= before + 1, {
      what: 'descriptors to come back',
      withinMs: 30_000,
    })
  }
  await round('warm')
  const warm = gate.rss()
  await round('cold')
  t.equal(failed, 0)
  t.equal(served.size, 20_000)
  t.ok(
    [...served.values()].every((count) => count === 1),
    'each once',
  )
  const grown = (gate.rss() - warm) / 1024 / 1024
  t.ok(grown < 32, `${grown} MiB more than after the first 10,000`)
  const metrics = await gate.metrics()
  t.match(metrics, 'sidegate_http_requests_total{listener="l0",method="GET",code="200"} 13332')
  t.match(metrics, 'sidegate_http_requests_total{listener="l0",method="POST",code="200"} 6668')
  t.match(metrics, 'sidegate_connections{listener="l0",protocol="http",side="client"} 0')
})
