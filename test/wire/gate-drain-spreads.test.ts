import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { seeded } from '../support/uniform.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

test('clients of each kind are asked to go one by one, evenly over drain.spread, and nobody is reset', async (t) => {
  watchLeaks(t)
  const [upstream, service, web] = [await echo(t), await wsServer(t), await recordingUpstream(t)]
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`,
      `protocol: http, upstream: "127.0.0.1:${service.port}"`,
      `protocol: http, upstream: "127.0.0.1:${web.port}"`,
    ],
    { random: seeded(1) },
  )
  const wires = await Promise.all(Array.from({ length: 30 }, () => connect(t, gate.ports[0]!)))
  const sockets = await Promise.all(
    Array.from({ length: 60 }, () => wsClient(t, `ws://127.0.0.1:${gate.ports[1]}`)),
  )
  const clients = await Promise.all(Array.from({ length: 10 }, () => httpClient(t, gate.ports[2]!)))
  for (const client of clients) t.equal((await client.get(get())).header('connection'), 'keep-alive')
  await eventually(() => [...gate.registry].every(({ phase }) => phase === 'relay'))
  const [minDurationMs, spreadMs] = [200, 2000]
  // Ends that fall due while the machine stands still come at once: they take no share of the time.
  const watch = stopwatch(t)
  const moments: number[] = []
  let least = Number.POSITIVE_INFINITY
  const note = (): void => {
    least = Math.min(least, watch.ms - minDurationMs)
    moments.push(watch.livedMs)
  }
  void Promise.all(
    [...wires, ...clients.map(({ wire }) => wire)].map((wire) => wire.ended.then(() => (note(), wire.end()))),
  )
  void Promise.all(sockets.map(({ closed }) => closed.then(note)))
  const result = await within(
    gate.operator.drain('admin', { minDurationMs, spreadMs, timeoutMs: 10_000, tcp: 'spread' }),
    { withinMs: 9000 },
  )
  t.match(result, { drained: 100, forced: 0, others: 0 })
  t.same(
    new Set(
      (await Promise.all(sockets.map(({ closed }) => closed))).map(({ code, reason }) => `${code} ${reason}`),
    ),
    new Set(['1012 drain']),
  )
  t.same(
    sockets.flatMap(({ errors }) => errors),
    [],
  )
  t.same(
    new Set(
      (await Promise.all([...wires, ...clients.map(({ wire }) => wire)].map(({ closed }) => closed))).map(
        ({ kind }) => kind,
      ),
    ),
    new Set(['fin']),
  )
  t.equal(moments.length, 100)
  t.ok(least >= 0, 'nobody before the listeners were closed')
  // The tests of SpreadClose check the spread to the millisecond; a busy machine sees it in lumps.
  const [first, last] = [Math.min(...moments), Math.max(...moments)]
  t.ok(last - first > spreadMs / 2, `over ${last - first} ms`)
  for (const third of [0, 1, 2]) {
    const seen = moments.filter(
      (moment) => Math.min(2, Math.floor((3 * (moment - first)) / (last - first))) === third,
    ).length
    t.ok(seen >= 10, `${seen} in third ${third + 1}`)
  }
  t.same(new Set(gate.lines.map((line) => line['close'])), new Set(['drain']))
  t.equal(gate.operator.drainState, 'finished')
})

test('whoever comes while a drain is only announced is served, and told that this answer is the last', async (t) => {
  watchLeaks(t)
  let finish = (): void => {}
  const web = await recordingUpstream(t, ({ target }) =>
    target === '/slow' ? new Promise<string>((resolve) => (finish = () => resolve(OK))) : OK,
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${web.port}"`])
  const [before, busy] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  t.equal((await before.get(get())).header('connection'), 'keep-alive')
  await busy.send(get('/slow'))
  await web.request(1)
  void gate.operator.drain('admin')
  const after = await httpClient(t, gate.port)
  finish()
  for (const answer of [await before.get(get()), await busy.answer(), await after.get(get())])
    t.same([answer.status, answer.header('connection')], [200, 'close'])
  for (const [nth, { wire }] of [before, busy, after].entries()) {
    await within(wire.ended)
    wire.end()
    t.match(await gate.end(nth), { reason: 'drain', side: 'sidegate' })
  }
  t.equal(gate.operator.undrain(), true)
  const later = await httpClient(t, gate.port)
  t.equal((await later.get(get())).header('connection'), 'keep-alive', 'a drain that was undone')
  later.wire.end()
})

test('probes, metrics and the routes of the admin server follow a drain from its beginning to its undoing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const ask = async (port: number, line: string): Promise<{ status: number; body: string }> => {
    const { status, body } = parseAnswer(
      (
        await requestRaw(
          t,
          port,
          `${line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
        )
      ).bytes,
    )
    return { status, body: body.toString() }
  }
  const draining = async (): Promise<number | undefined> =>
    readSamples(await gate.metrics()).get('sidegate_draining')
  t.match(await ask(gate.adminPort, 'POST /drain?undo=1'), { status: 409 })
  t.match(await ask(gate.adminPort, 'POST /drain?now'), { status: 400 })
  t.match(await ask(gate.adminPort, 'GET /drain'), { status: 405 })
  t.equal(await draining(), 0)
  t.match(await ask(gate.adminPort, 'POST /drain'), { status: 200, body: /"announced"/ })
  t.match(await ask(gate.healthPort, 'GET /readyz'), { status: 503, body: /draining/ })
  t.match(await ask(gate.healthPort, 'GET /livez'), { status: 200 })
  t.equal(await draining(), 1)
  t.match(
    await ask(gate.adminPort, 'POST /drain'),
    { status: 200, body: /"announced"/ },
    'again, it is the same',
  )
  const waiting = ask(gate.healthPort, 'GET /drain/wait')
  t.match(await ask(gate.adminPort, 'POST /drain?undo=1'), { status: 200, body: /"none"/ })
  t.match(await within(waiting), { status: 200 })
  t.match(await ask(gate.healthPort, 'GET /readyz'), { status: 200 })
  t.equal(await draining(), 0)
  t.match(
    await ask(gate.adminPort, 'POST /reload'),
    { status: 422, body: /is empty/ },
    'the file of this test is empty',
  )
  t.match(await gate.reload([`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`]), { result: 'success' })
  t.match(await ask(gate.adminPort, 'POST /reload'), { status: 200, body: /"success"/ })
})

test('who waits for the end of a drain is answered with it, and a crowd that waits keeps no probe out', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  await client.write('live')
  await client.read(4)
  const wait = 'GET /drain/wait HTTP/1.1\r\nHost: a\r\n\r\n'
  const crowd = await Promise.all(Array.from({ length: 70 }, () => connect(t, gate.healthPort)))
  for (const one of crowd) await one.write(wait)
  await eventually(() => crowd.filter(({ outcome }) => outcome !== null).length >= 6, {
    what: 'the oldest to give way',
  })
  t.equal(
    (
      await requestRaw(t, gate.healthPort, 'GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    ).bytes
      .toString('latin1')
      .slice(9, 12),
    '200',
  )
  for (const one of crowd.slice(0, 50)) one.destroy()
  const patient = await connect(t, gate.healthPort)
  await patient.write(wait)
  const drained = gate.drain(5000)
  t.match((await patient.readUntil('ok\n')).toString(), /^HTTP\/1\.1 200 /)
  await within(client.ended)
  client.end()
  await within(drained)
  const late = await connect(t, gate.healthPort)
  await late.write(wait)
  t.match((await late.readUntil('ok\n')).toString(), /^HTTP\/1\.1 200 /, 'at once, once it is over')
})
