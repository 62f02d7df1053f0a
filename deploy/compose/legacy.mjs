// A legacy service: echoes WebSocket messages and answers HTTP, has no deadline and no limit of its own.

import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const { WebSocketServer } = createRequire(process.env.APP ?? '/app/package.json')('ws')
const server = createServer((request, answer) => answer.end(`legacy: ${request.method} ${request.url}\n`))
new WebSocketServer({ server }).on('connection', (socket) =>
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary })),
)
process.on('SIGTERM', () => process.exit(0))
server.listen(Number(process.env.PORT ?? 8080))
