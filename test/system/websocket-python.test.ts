import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import { missing, python, run, runPeer, startProgram } from './websocket-tools.ts'

const skip = missing({ name: 'Python with the module websockets', isThere: python !== null })

const clientProgram = `
import asyncio, json, sys, websockets
async def main():
    compression = None if sys.argv[2] == 'plain' else 'deflate'
    async with websockets.connect(sys.argv[1], subprotocols=['v1', 'v2'], compression=compression, max_size=None) as ws:
        wrong = []
        messages = ['hello', '\\u00e4\\U0001f600' * 1000, bytes(range(256)) * 1000, '', b'', 'x' * 700000]
        for message in messages:
            await ws.send(message)
            if await ws.recv() != message: wrong.append(len(message))
        await ws.send(['frag', 'men', 'ts'])
        fragments = await ws.recv()
        await asyncio.wait_for(await ws.ping(b'mine'), 10)
        await ws.close(4001, 'bye')
    print(json.dumps(dict(wrong=wrong, fragments=fragments, extensions=[e.name for e in ws.extensions], subprotocol=ws.subprotocol, code=ws.close_code, reason=ws.close_reason)))
asyncio.run(main())
`

const serverProgram = `
import asyncio, websockets
async def echo(ws):
    try:
        async for message in ws:
            if message == 'close': await ws.close(4002, 'asked')
            else: await ws.send(message)
    except websockets.ConnectionClosed: pass
async def main():
    async with websockets.serve(echo, '127.0.0.1', 0, subprotocols=['v2'], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
`

async function pythonServer(t: Test): Promise<number> {
  return Number(await runPeer(t, python!, ['-c', serverProgram]))
}

const PINGS = 'websocket: { ping: { interval: 200ms, timeout: 200ms }, maxMessage: 4MiB }'

for (const mode of ['plain', 'deflate']) {
  test(`a Python client talks through the gate with ws, ${mode}`, { skip }, async (t) => {
    const upstream = await wsServer(t, { perMessageDeflate: true, handleProtocols: () => 'v2' })
    const gate = await startProgram(t, upstream.port, PINGS)
    const { code, out } = await run(t, python!, ['-c', clientProgram, gate.url, mode])
    t.equal(code, 0, out)
    t.same(JSON.parse(out), {
      wrong: [],
      fragments: 'fragments',
      extensions: mode === 'plain' ? [] : ['permessage-deflate'],
      subprotocol: 'v2',
      code: 4001,
      reason: 'bye',
    })
    t.same(await (await upstream.connection()).closed, { code: 4001, reason: 'bye' })
    t.match(await gate.end(), {
      close: 'eof',
      side: 'client',
      protocol: 'websocket',
      detail: 'code 4001',
      messagesToUpstream: 7,
    })
  })

  test(`a Python client talks through the gate with a Python server, ${mode}`, { skip }, async (t) => {
    const gate = await startProgram(t, await pythonServer(t), PINGS)
    const { code, out } = await run(t, python!, ['-c', clientProgram, gate.url, mode])
    t.equal(code, 0, out)
    t.match(JSON.parse(out), {
      wrong: [],
      fragments: 'fragments',
      extensions: mode === 'plain' ? [] : ['permessage-deflate'],
      code: 4001,
    })
    t.match(await gate.end(), { close: 'eof', side: 'client', messagesToUpstream: 7, messagesToClient: 7 })
  })
}

const MESSAGES =
  'websocket: { mode: messages, compression: on, ping: { interval: 200ms, timeout: 200ms }, maxMessage: 4MiB }'

for (const server of ['ws', 'Python'] as const) {
  test(
    `a Python client that compresses talks through the gate in messages mode with ${server}, which sees no compression`,
    { skip },
    async (t) => {
      const upstream = await wsServer(t, { perMessageDeflate: true, handleProtocols: () => 'v2' })
      const gate = await startProgram(t, server === 'ws' ? upstream.port : await pythonServer(t), MESSAGES)
      const { code, out } = await run(t, python!, ['-c', clientProgram, gate.url, 'deflate'])
      t.equal(code, 0, out)
      t.same(JSON.parse(out), {
        wrong: [],
        fragments: 'fragments',
        extensions: ['permessage-deflate'],
        subprotocol: 'v2',
        code: 4001,
        reason: 'bye',
      })
      if (server === 'ws') t.equal((await upstream.connection()).socket.extensions, '')
      t.match(await gate.end(), { close: 'eof', side: 'client', messagesToUpstream: 7, messagesToClient: 7 })
    },
  )
}

test('ws talks through the gate with a Python server, which closes', { skip }, async (t) => {
  const gate = await startProgram(t, await pythonServer(t), PINGS)
  const client = await wsClient(t, gate.url, { perMessageDeflate: { threshold: 0 } })
  t.equal(client.socket.extensions, 'permessage-deflate')
  for (const message of ['hello', 'x'.repeat(500_000)]) {
    await client.send(message)
    t.equal((await client.nextMessage()).data.toString(), message)
  }
  await client.send('close')
  t.same(await within(client.closed), { code: 4002, reason: 'asked' })
  t.match(await gate.end(), { close: 'eof', side: 'upstream', detail: 'code 4002' })
})

test('a Python client that is sent away by lifetime_timeout sees 1001', { skip }, async (t) => {
  const program = `
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as ws:
        try: await ws.recv()
        except websockets.ConnectionClosed as closed: print(closed.rcvd.code, closed.rcvd.reason)
asyncio.run(main())
`
  const upstream = await wsServer(t, { echo: false })
  const gate = await startProgram(t, upstream.port, 'deadlines: { lifetime: 300ms }')
  const { out } = await run(t, python!, ['-c', program, gate.url])
  t.equal(out.trim(), '1001 lifetime_timeout')
  t.match(await gate.end(), { close: 'lifetime_timeout', side: 'sidegate' })
})
