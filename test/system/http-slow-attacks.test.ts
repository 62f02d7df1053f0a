import t, { test } from 'tap'
import http from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { eventually } from '../support/eventually.ts'
import { get, httpClient } from '../support/http-peers.ts'
import { needs, program, runTool, temporary } from '../support/tools.ts'

t.setTimeout(240_000)

const modes: Array<[name: string, args: string[], reasons: string[]]> = [
  ['headers', ['-H', '-i', '1', '-x', '8'], ['handshake_timeout']],
  ['bodies', ['-B', '-i', '3', '-s', '8192', '-x', '8'], ['request_timeout']],
  [
    'readers',
    ['-X', '-w', '1', '-y', '8', '-n', '5', '-z', '1', '-k', '1'],
    ['write_timeout', 'eof', 'reset', 'aborted'],
  ],
]
for (const [name, args, reasons] of modes) {
  test(
    `slowhttptest with slow ${name}: every connection is ended, others are served meanwhile`,
    needs('slowhttptest'),
    async (t) => {
      const big = Buffer.alloc(4_000_000, 'x')
      const server = http.createServer(
        (request, response) =>
          void request.resume().on('end', () => response.end(request.url === '/fine' ? 'fine' : big)),
      )
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.teardown(() => {
        server.closeAllConnections()
        server.close()
      })
      const gate = await program(
        t,
        `protocol: http, upstream: "127.0.0.1:${(server.address() as AddressInfo).port}", deadlines: { handshake: 2s, request: 2s, write: 2s, close: 1s }`,
      )
      const before = gate.descriptors()
      const attack = runTool(
        t,
        'slowhttptest',
        [
          '-c',
          '100',
          '-r',
          '100',
          '-l',
          '12',
          '-u',
          `http://127.0.0.1:${gate.port}/`,
          '-o',
          `${temporary(t)}/out`,
          ...args,
        ],
        { TERM: 'dumb' },
      )
      let worst = 0
      const state = { isOver: false }
      void attack.exited.then(() => (state.isOver = true))
      while (!state.isOver) {
        const start = performance.now()
        const client = await httpClient(t, gate.port)
        t.equal((await client.get(get('/fine', 'Connection: close\r\n'))).status, 200)
        worst = Math.max(worst, performance.now() - start)
        await new Promise((resolve) => setTimeout(resolve, 500))
      }
      t.ok(worst < 10_000, `${worst} ms`)
      const ends = await eventually(() => (gate.ends().length >= 100 ? gate.ends() : null), {
        what: '100 ends',
        withinMs: 20_000,
      })
      const counted = new Map<string, number>()
      for (const { close } of ends) counted.set(String(close), (counted.get(String(close)) ?? 0) + 1)
      t.comment(JSON.stringify([...counted]))
      t.ok((counted.get(reasons[0]!) ?? 0) >= 90, `${reasons[0]}: ${JSON.stringify([...counted])}`)
      await eventually(() => gate.descriptors() <= before + 2, {
        what: 'descriptors to come back',
        withinMs: 20_000,
      })
    },
  )
}
