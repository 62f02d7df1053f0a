// Frames of HTTP/2 with a few bytes changed, of a client and of a service, through whole gates. Whatever
// comes, the gate ends the connection by a rule of its own, keeps nothing of it, and serves the next; a
// service gets whole requests or cut ones, a client whole answers or cut ones.

import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { connect, listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { HANGS, Scope, send, turns } from './case.ts'
import type { Case } from './case.ts'
import { pieces, times } from './random.ts'
import type { Chance } from './random.ts'
import { strictAnswers } from './strict.ts'
import { mutated } from './streams.ts'

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const text = (frames: Buffer[]): string => Buffer.concat(frames).toString('latin1')

/** A frame that may stand anywhere. */
function odd(chance: Chance, stream: number): Buffer {
  return chance.pick([
    () => h2.ping(),
    () => h2.windowUpdate(chance.pick([0, stream]), 1 + chance.below(70_000)),
    () => h2.priority(stream, chance.below(9)),
    () => h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, chance.pick([0, 1, 100, 65_535, 1_000_000])]),
    () => h2.settings([h2.SETTING.HEADER_TABLE_SIZE, chance.pick([0, 100, 4096])]),
    () => h2.settingsAck(),
    () => h2.rst(stream, chance.below(14)),
    () => h2.goaway(stream, chance.below(14)),
    () => h2.frame(chance.below(20), chance.below(256), stream, Buffer.alloc(chance.below(20))),
  ])()
}

/** A block in one frame, or in several. */
function block(chance: Chance, stream: number, bytes: Buffer, flags: number): Buffer[] {
  if (!chance.oneIn(4)) return [h2.headers(stream, bytes, h2.END_HEADERS | flags)]
  const cut = chance.below(bytes.length)
  return [h2.headers(stream, bytes.subarray(0, cut), flags), h2.continuation(stream, bytes.subarray(cut))]
}

function body(chance: Chance, stream: number, trailers: h2.Field[] | null): Buffer[] {
  const frames = times(chance.below(4), () => h2.data(stream, 'x'.repeat(chance.below(3000))))
  if (trailers === null || chance.oneIn(2)) return [...frames, h2.data(stream, '', h2.END_STREAM)]
  return [...frames, ...block(chance, stream, h2.literals(...trailers), h2.END_STREAM)]
}

const sprinkled = (chance: Chance, stream: number, frames: Buffer[]): Buffer[] =>
  frames.flatMap((frame) => (chance.oneIn(4) ? [frame, odd(chance, stream)] : [frame]))

function clientFrames(chance: Chance): string {
  const frames = times(1 + chance.below(4), (nth) => {
    const stream = 1 + 2 * nth
    const method = chance.pick(['GET', 'POST', 'HEAD'])
    const fields = h2.request({ ':method': method, ':path': `/${nth}`, cookie: 'a=b', te: 'trailers' })
    const hasBody = method === 'POST'
    const head = block(chance, stream, h2.literals(...fields), hasBody ? 0 : h2.END_STREAM)
    return sprinkled(chance, stream, [...head, ...(hasBody ? body(chance, stream, [['x', 'y']]) : [])])
  })
  return text([h2.PREFACE, h2.settings(), h2.windowUpdate(0, 1_000_000), ...frames.flat()])
}

function serviceFrames(chance: Chance, stream: number): string {
  const interim = chance.oneIn(5) ? block(chance, stream, h2.literals([':status', '103']), 0) : []
  const status = chance.pick(['200', '204', '304', '404', '500'])
  const length: h2.Field[] = chance.oneIn(4) ? [['content-length', String(chance.below(3000))]] : []
  const isEnd = chance.oneIn(4)
  const head = block(
    chance,
    stream,
    h2.literals([':status', status], ['a', 'b'], ...length),
    isEnd ? h2.END_STREAM : 0,
  )
  const rest = isEnd ? [] : body(chance, stream, [['grpc-status', '0']])
  return text(sprinkled(chance, stream, [...interim, ...head, ...rest]))
}

/** No end is a bug of ours. */
function checkEnds(gate: Gate, from: number, about: string): void {
  const bug = gate.lines.slice(from).find(({ close }) => close === 'internal_error')
  if (bug !== undefined) throw new Error(`${about}: ${JSON.stringify(bug)}`)
  gate.lines.splice(0)
}

async function isServed(gate: Gate, about: string): Promise<void> {
  const scope = new Scope()
  try {
    const wire = await connect(scope.test, gate.port, { halfOpen: true })
    await wire.write('GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    await within(wire.ended, { what: 'the next answer', ...HANGS })
    const said = wire.takeUnread().toString('latin1')
    if (strictAnswers(said, ['GET']).messages[0]?.line !== '200')
      throw new Error(`behind ${about} another client gets ${JSON.stringify(said)}`)
  } finally {
    await scope.end()
  }
}

async function clientCase(scope: Scope): Promise<Case> {
  const upstream = await recordingUpstream(scope.test, () => OK)
  const gate = await startGate(scope.test, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  return [
    'HTTP/2 of a client through a gate',
    async (chance) => {
      const right = clientFrames(chance)
      const stream = chance.oneIn(5) ? right : mutated(chance, right)
      const about = JSON.stringify(stream)
      const [from, scope] = [gate.lines.length, new Scope()]
      try {
        const wire = await connect(scope.test, gate.port, { halfOpen: true })
        await send(wire, pieces(chance, stream))
        await turns(5)
        if (chance.oneIn(2)) wire.socket.end()
        else wire.reset()
        await within(wire.closed, { what: `the end of a connection: ${about}`, ...HANGS })
      } finally {
        await scope.end()
      }
      await eventually(() => gate.registry.size === 0, { what: `an empty registry: ${about}`, ...HANGS })
      checkEnds(gate, from, about)
      const strange = upstream.problems.splice(0).filter((problem) => !problem.startsWith('cut'))
      if (strange.length > 0) throw new Error(`${about}: ${strange.join()}`)
      upstream.requests.splice(0)
      await isServed(gate, about)
    },
  ]
}

/** Answers a request with `next`, and whatever else it is asked rightly. */
async function oddService(
  scope: Scope,
  next: (wire: Wire, stream: number) => Promise<boolean>,
): Promise<number> {
  const { port } = await listen(scope.test, (wire) => {
    wire.socket.on('error', () => {})
    let hasPreface = false
    let hasOdd = false
    void wire.write(Buffer.concat([h2.settings(), h2.settingsAck()]))
    const reader = new h2.FrameReader(({ type, flags, stream, payload }) => {
      if (type === h2.kinds.PING && (flags & h2.ACK) === 0)
        void wire.write(h2.frame(h2.kinds.PING, h2.ACK, 0, payload))
      if (type !== h2.kinds.HEADERS || hasOdd) return
      void next(wire, stream).then((isOdd) => (hasOdd ||= isOdd))
    })
    wire.socket.on('data', (chunk: Buffer) => {
      reader.write(hasPreface ? chunk : chunk.subarray(h2.PREFACE.length))
      hasPreface = true
    })
  })
  return port
}

async function serviceCase(scope: Scope): Promise<Case> {
  let odd: string[] | null = null
  const port = await oddService(scope, async (wire, stream) => {
    const parts = odd
    odd = null
    if (parts === null) {
      const head = h2.headers(stream, h2.literals([':status', '200']), h2.END_HEADERS)
      await wire.write(Buffer.concat([head, h2.data(stream, 'ok', h2.END_STREAM)]))
      return false
    }
    await send(wire, parts)
    return true
  })
  const gate = await startGate(scope.test, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }, deadlines: { response: 300ms, idle: 300ms }`,
  ])
  return [
    'HTTP/2 of a service through a gate',
    async (chance) => {
      // The first stream of a session that may be the second of it.
      const right = serviceFrames(chance, chance.pick([1, 1, 3]))
      const stream = chance.oneIn(5) ? right : mutated(chance, right)
      const about = JSON.stringify(stream)
      const [from, scope] = [gate.lines.length, new Scope()]
      const method = chance.pick(['GET', 'HEAD', 'POST'])
      odd = pieces(chance, stream)
      try {
        const wire = await connect(scope.test, gate.port, { halfOpen: true })
        await wire.write(
          `${method} /odd HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
        )
        await within(wire.ended, { what: `an answer: ${about}`, ...HANGS })
        const said = wire.takeUnread().toString('latin1')
        if (strictAnswers(said, [method]).end === 'bad')
          throw new Error(`of ${about} to ${method} the client gets ${JSON.stringify(said)}`)
      } finally {
        odd = null
        await scope.end()
      }
      await eventually(() => gate.registry.size === 0, { what: `an empty registry: ${about}`, ...HANGS })
      checkEnds(gate, from, about)
    },
  ]
}

export async function h2Cases(): Promise<{ cases: Case[]; stop: () => Promise<void> }> {
  const scope = new Scope()
  return { cases: [await clientCase(scope), await serviceCase(scope)], stop: () => scope.end() }
}
