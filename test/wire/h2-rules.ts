// The rules of RFC 9113 and RFC 7541 for a server, each with what a client does, and what must come of it. The numbers are those of the cases of h2spec
// (its groups `http2`, `generic` and `hpack`, named h, g and p here), as far as a rule has one; others have the section of RFC 9113.

import * as h2 from '../support/h2-frames.ts'
import type { RawH2 } from '../support/h2-raw.ts'

/** The required reaction: a fault of the connection (GOAWAY) or of the stream (RST_STREAM, or GOAWAY) with one of these codes, or another that `check` waits for. */
export type Outcome =
  | { kind: 'connection'; codes: readonly number[] }
  | { kind: 'stream'; codes: readonly number[] }
  | { kind: 'check'; check: (client: RawH2) => Promise<unknown> }

export interface Rule {
  number: string
  what: string
  act: (client: RawH2) => unknown
  outcome: Outcome
  /** Without the preface. */
  isBare?: boolean
}

const { PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, COMPRESSION_ERROR } = h2.codes
const { REFUSED_STREAM } = h2.codes

const connection = (...codes: number[]): Outcome => ({ kind: 'connection', codes })
const stream = (...codes: number[]): Outcome => ({ kind: 'stream', codes })
const check = (look: (client: RawH2) => Promise<unknown>): Outcome => ({ kind: 'check', check: look })

async function assertPing(client: RawH2): Promise<void> {
  if (!(await client.ping())) throw new Error(`no answer to a ping, GOAWAY ${client.goaway?.code}`)
}
const ponged = check(assertPing)
/** RFC 9113 section 5.1 leaves the reaction to DATA and HEADERS on a closed stream open, and a skipped stream is closed too; h2spec, for RFC 7540, demands a fault. */
const ignored = ponged
const answered = check(async (client) => {
  const { status } = await client.answer(1)
  if (status !== 200) throw new Error(`status ${status}`)
})

const { END_STREAM, END_HEADERS } = h2
const rule = (number: string, what: string, act: Rule['act'], outcome: Outcome): Rule => ({
  number,
  what,
  act,
  outcome,
})

const GET = h2.GET
const never = h2.literals(...h2.request({ ':path': '/never' }))
const POST = h2.literals(...h2.request({ ':method': 'POST' }))
const one = (...fields: h2.Field[]): Buffer => h2.literals(...fields)
const extra = one(['x-dummy', 'x'.repeat(100)])
const get = (id = 1): Buffer => h2.headers(id, GET)
const post = (id = 1): Buffer => h2.headers(id, POST, END_HEADERS)
/** A request whose fields are these. */
const asks = (more: Record<string, string>, rest: h2.Field[] = []): Buffer =>
  h2.headers(1, h2.literals(...h2.request(more, rest)))
const without = (name: string): Buffer =>
  h2.headers(1, h2.literals(...h2.request().filter(([key]) => key !== name)))

/** Sends these frames. */
const sends =
  (...frames: Buffer[]) =>
  (client: RawH2): unknown =>
    client.send(...frames)

/** Sends a request, and after its answer these frames. */
const afterwards =
  (...frames: Buffer[]) =>
  async (client: RawH2): Promise<void> => {
    await client.send(get())
    await client.answer(1)
    await client.send(...frames)
  }

const starting: Rule[] = [
  rule(
    'h3.5/1',
    'SETTINGS are the first frame',
    sends(),
    check(async (client) => {
      await assertPing(client)
      const first = client.frames[0]!
      if (first.type !== h2.kinds.SETTINGS || (first.flags & h2.ACK) !== 0) throw new Error('another frame')
    }),
  ),
  {
    ...rule(
      'h3.5/2',
      'an invalid preface ends the connection',
      sends(Buffer.from('INVALID CONNECTION PREFACE\r\n\r\n')),
      check((client) => client.goodbye()),
    ),
    isBare: true,
  },
  {
    ...rule(
      '3.4',
      'a preface that is not followed by SETTINGS',
      sends(h2.PREFACE, h2.ping()),
      connection(PROTOCOL_ERROR),
    ),
    isBare: true,
  },
]

const framing: Rule[] = [
  rule(
    'h4.1/1',
    'frames of an unknown type are ignored',
    sends(h2.frame(0x16, 0, 0, Buffer.alloc(8))),
    ponged,
  ),
  rule(
    'h4.1/2',
    'undefined flags are ignored',
    sends(h2.frame(h2.kinds.PING, 0x16, 0, Buffer.alloc(8))),
    check((client) => client.frame(({ type, flags }) => type === h2.kinds.PING && flags === h2.ACK)),
  ),
  rule(
    'h4.1/3',
    'the reserved bit is ignored',
    sends(h2.frame(h2.kinds.PING, 0, 0x8000_0000, Buffer.alloc(8))),
    ponged,
  ),
  rule(
    'h4.2/1',
    'DATA of 16,384 bytes',
    sends(post(), h2.data(1, Buffer.alloc(16_384), END_STREAM)),
    answered,
  ),
  rule(
    'h4.2/2',
    'DATA of more',
    sends(post(), h2.data(1, Buffer.alloc(16_385), END_STREAM)),
    stream(FRAME_SIZE_ERROR),
  ),
  rule(
    'h4.2/3',
    'HEADERS of more',
    sends(h2.headers(1, Buffer.concat([GET, Buffer.alloc(16_400)]))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h4.3/1',
    'a header block that cannot be decoded',
    sends(h2.headers(1, Buffer.from([0x40]))),
    connection(COMPRESSION_ERROR),
  ),
  rule(
    'h4.3/2, h6.2/1',
    'PRIORITY inside a header block',
    sends(h2.headers(1, GET, 0), h2.priority(1), h2.continuation(1, extra)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h4.3/3, h6.2/2',
    'HEADERS of another stream inside a header block',
    sends(h2.headers(1, GET, 0), get(3), h2.continuation(1, extra)),
    connection(PROTOCOL_ERROR),
  ),
]

const states: Rule[] = [
  rule('h5.1/1', 'DATA on an idle stream', sends(h2.data(1, 'test', END_STREAM)), connection(PROTOCOL_ERROR)),
  rule('h5.1/2, h6.4/2', 'RST_STREAM on an idle stream', sends(h2.rst(1)), connection(PROTOCOL_ERROR)),
  rule(
    'h5.1/3',
    'WINDOW_UPDATE on an idle stream',
    sends(h2.windowUpdate(1, 100)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h5.1/4',
    'CONTINUATION on an idle stream',
    sends(h2.continuation(1, GET)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h5.1/5, h6.1/2',
    'DATA behind END_STREAM',
    sends(get(), h2.data(1, 'test', END_STREAM)),
    stream(STREAM_CLOSED),
  ),
  rule('h5.1/6', 'HEADERS behind END_STREAM', sends(get(), get()), stream(STREAM_CLOSED)),
  rule(
    'h5.1/7',
    'CONTINUATION behind END_STREAM',
    sends(get(), h2.continuation(1, GET)),
    stream(STREAM_CLOSED, PROTOCOL_ERROR),
  ),
  rule(
    'h5.1/8',
    'DATA behind RST_STREAM of the client',
    sends(post(), h2.rst(1), h2.data(1, 'test', END_STREAM)),
    ignored,
  ),
  rule('h5.1/9', 'HEADERS behind RST_STREAM of the client', sends(post(), h2.rst(1), get()), ignored),
  rule(
    'h5.1/10',
    'CONTINUATION behind RST_STREAM',
    sends(post(), h2.rst(1), h2.continuation(1, extra)),
    stream(STREAM_CLOSED, PROTOCOL_ERROR),
  ),
  rule('h5.1/11', 'DATA on a closed stream', afterwards(h2.data(1, 'test', END_STREAM)), ignored),
  rule('h5.1/12', 'HEADERS on a closed stream', afterwards(get()), ignored),
  rule(
    'h5.1/13',
    'CONTINUATION on a closed stream',
    afterwards(h2.continuation(1, extra)),
    connection(STREAM_CLOSED, PROTOCOL_ERROR),
  ),
  rule('h5.1.1/1', 'a stream with an even number', sends(get(2)), connection(PROTOCOL_ERROR)),
  rule('h5.1.1/2', 'a stream with a lower number than before', sends(get(5), get(3)), ignored),
  rule(
    'h5.1.2/1',
    'one stream more than SETTINGS_MAX_CONCURRENT_STREAMS',
    async (client) => {
      await assertPing(client)
      const most = client.peerSettings!.get(h2.SETTING.MAX_CONCURRENT_STREAMS)!
      const ids = Array.from({ length: most + 1 }, (_, nth) => 2 * nth + 1)
      await client.send(...ids.map((id) => h2.headers(id, never)))
    },
    stream(PROTOCOL_ERROR, REFUSED_STREAM),
  ),
  rule(
    'h5.4.1/1',
    'GOAWAY tells a fault of the connection',
    sends(h2.frame(h2.kinds.PING, 0, 3, Buffer.alloc(8))),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h5.5/2',
    'an unknown frame inside a header block',
    sends(h2.headers(1, GET, END_STREAM), h2.frame(0x16, 0, 0, Buffer.alloc(8))),
    connection(PROTOCOL_ERROR),
  ),
  rule('g2/1, g3.3/1', 'PRIORITY of an idle stream is ignored', sends(h2.priority(1)), ponged),
  rule(
    'g2/2',
    'WINDOW_UPDATE behind END_STREAM',
    sends(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0]), get(), h2.windowUpdate(1, 1)),
    check((client) => client.frame(({ type }) => type === h2.kinds.DATA)),
  ),
  rule(
    'g2/3',
    'PRIORITY behind END_STREAM',
    sends(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0]), get(), h2.priority(1), h2.windowUpdate(1, 1)),
    check((client) => client.frame(({ type }) => type === h2.kinds.DATA)),
  ),
  rule('g2/4', 'RST_STREAM behind END_STREAM', sends(get(), h2.rst(1)), ponged),
  rule('g2/5', 'PRIORITY on a closed stream', afterwards(h2.priority(1)), ponged),
  rule(
    '5.1',
    'WINDOW_UPDATE and RST_STREAM on a closed stream are ignored',
    afterwards(h2.windowUpdate(1, 1), h2.rst(1)),
    ponged,
  ),
]

const frames: Rule[] = [
  rule('h6.1/1', 'DATA on stream 0', sends(h2.data(0, 'test')), connection(PROTOCOL_ERROR)),
  rule(
    'h6.1/3',
    'DATA with more padding than payload',
    sends(post(), h2.frame(0, h2.PADDED | END_STREAM, 1, Buffer.from([6, 1, 2, 3]))),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'g3.1/3',
    'DATA with padding',
    sends(post(), h2.frame(0, h2.PADDED | END_STREAM, 1, Buffer.from([3, 1, 2, 3, 4]))),
    answered,
  ),
  rule('h6.2/3', 'HEADERS on stream 0', sends(get(0)), connection(PROTOCOL_ERROR)),
  rule(
    'h6.2/4',
    'HEADERS with more padding than payload',
    sends(h2.headers(1, Buffer.concat([Buffer.from([GET.length + 2]), GET]), 0x0d)),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'g3.2/2',
    'HEADERS with padding',
    sends(h2.headers(1, Buffer.concat([Buffer.from([3]), GET, Buffer.alloc(3)]), 0x0d)),
    answered,
  ),
  rule(
    'g3.2/3',
    'HEADERS with a priority',
    sends(
      h2.headers(
        1,
        Buffer.concat([h2.u32(0), Buffer.from([255]), GET]),
        END_HEADERS | END_STREAM | h2.PRIORITY_FLAG,
      ),
    ),
    answered,
  ),
  rule('h6.3/1', 'PRIORITY on stream 0', sends(h2.priority(0)), connection(PROTOCOL_ERROR)),
  rule(
    'h6.3/2',
    'PRIORITY of 4 bytes',
    sends(h2.frame(h2.kinds.PRIORITY, 0, 1, Buffer.alloc(4))),
    stream(FRAME_SIZE_ERROR),
  ),
  rule('h6.4/1', 'RST_STREAM on stream 0', sends(h2.rst(0)), connection(PROTOCOL_ERROR)),
  rule(
    'h6.4/3',
    'RST_STREAM of 3 bytes',
    sends(post(), h2.frame(h2.kinds.RST_STREAM, 0, 1, Buffer.alloc(3))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h6.5/1',
    'an ACK of SETTINGS with a payload',
    sends(h2.frame(h2.kinds.SETTINGS, h2.ACK, 0, Buffer.alloc(6))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h6.5/2',
    'SETTINGS on a stream',
    sends(h2.frame(h2.kinds.SETTINGS, 0, 1, Buffer.alloc(6))),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.5/3',
    'SETTINGS of 3 bytes',
    sends(h2.frame(h2.kinds.SETTINGS, 0, 0, Buffer.alloc(3))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h6.5.2/1',
    'ENABLE_PUSH of 2',
    sends(h2.settings([h2.SETTING.ENABLE_PUSH, 2])),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.5.2/2, h6.9.2/3',
    'INITIAL_WINDOW_SIZE of 2^31',
    sends(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x8000_0000])),
    connection(FLOW_CONTROL_ERROR),
  ),
  rule(
    'h6.5.2/3',
    'MAX_FRAME_SIZE of 16,383',
    sends(h2.settings([h2.SETTING.MAX_FRAME_SIZE, 16_383])),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.5.2/4',
    'MAX_FRAME_SIZE of 2^24',
    sends(h2.settings([h2.SETTING.MAX_FRAME_SIZE, 16_777_216])),
    connection(PROTOCOL_ERROR),
  ),
  rule('h6.5.2/5', 'an unknown setting is ignored', sends(h2.settings([0xff, 1])), ponged),
  rule(
    'h6.5.3/1',
    'settings are taken in their order',
    sends(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 100], [h2.SETTING.INITIAL_WINDOW_SIZE, 1]), get()),
    check(async (client) => {
      const data = await client.frame(({ type }) => type === h2.kinds.DATA)
      if (data?.payload.length !== 1) throw new Error(`${data?.payload.length} bytes`)
    }),
  ),
  rule(
    'h6.5.3/2',
    'SETTINGS are acknowledged',
    sends(h2.settings([h2.SETTING.ENABLE_PUSH, 0])),
    check((client) => client.frame(({ type, flags }) => type === h2.kinds.SETTINGS && flags === h2.ACK)),
  ),
  rule('h6.7/1', 'a PING is answered', sends(), ponged),
  rule(
    'h6.7/2',
    'an answer to a PING is not answered; to Node one that it did not ask for is the end',
    sends(h2.frame(h2.kinds.PING, h2.ACK, 0, Buffer.alloc(8, 7))),
    check(async (client) => {
      await client.ping()
      if (client.frames.some(({ type, payload }) => type === h2.kinds.PING && payload[0] === 7))
        throw new Error('it is')
    }),
  ),
  rule(
    'h6.7/3',
    'PING on a stream',
    sends(h2.frame(h2.kinds.PING, 0, 1, Buffer.alloc(8))),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.7/4',
    'PING of 6 bytes',
    sends(h2.frame(h2.kinds.PING, 0, 0, Buffer.alloc(6))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h6.8/1',
    'GOAWAY on a stream',
    sends(h2.frame(h2.kinds.GOAWAY, 0, 1, Buffer.alloc(8))),
    connection(PROTOCOL_ERROR),
  ),
  rule('h6.9/1', 'WINDOW_UPDATE of 0', sends(h2.windowUpdate(0, 0)), connection(PROTOCOL_ERROR)),
  rule(
    'h6.9/2',
    'WINDOW_UPDATE of 0 for a stream',
    sends(post(), h2.windowUpdate(1, 0)),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h6.9/3',
    'WINDOW_UPDATE of 3 bytes',
    sends(h2.frame(h2.kinds.WINDOW_UPDATE, 0, 0, Buffer.alloc(3))),
    connection(FRAME_SIZE_ERROR),
  ),
  rule(
    'h6.9.1/2',
    'a window of the connection over 2^31 - 1',
    sends(h2.windowUpdate(0, 0x7fff_ffff), h2.windowUpdate(0, 0x7fff_ffff)),
    connection(FLOW_CONTROL_ERROR),
  ),
  rule(
    'h6.9.1/3',
    'a window of a stream over 2^31 - 1',
    sends(post(), h2.windowUpdate(1, 0x7fff_ffff), h2.windowUpdate(1, 0x7fff_ffff)),
    stream(FLOW_CONTROL_ERROR),
  ),
  rule(
    'h6.9.2/1',
    'a larger INITIAL_WINDOW_SIZE opens the windows that stand',
    sends(
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0]),
      get(),
      h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 1]),
    ),
    check(async (client) => {
      const data = await client.frame(({ type }) => type === h2.kinds.DATA)
      if (data?.payload.length !== 1) throw new Error(`${data?.payload.length} bytes`)
    }),
  ),
  rule(
    'h6.9.2/2',
    'a window may be negative',
    async (client) => {
      await client.send(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 3]), get())
      await client.frame(({ type }) => type === h2.kinds.DATA)
      await client.send(h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 2]))
      await assertPing(client)
      await client.send(h2.windowUpdate(1, 2))
    },
    check(async (client) => {
      await client.frame(({ type }) => type === h2.kinds.DATA && client.bodyBytes(1) === 4)
    }),
  ),
]

const continued: Rule[] = [
  rule(
    'h6.10/1',
    'two CONTINUATION frames',
    sends(h2.headers(1, GET, END_STREAM), h2.continuation(1, extra, 0), h2.continuation(1, one(['y', '1']))),
    answered,
  ),
  rule(
    'h6.10/2',
    'CONTINUATION, then DATA',
    sends(h2.headers(1, POST, 0), h2.continuation(1, extra, 0), h2.data(1, 'test', END_STREAM)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.10/3',
    'CONTINUATION on stream 0',
    sends(h2.headers(1, GET, END_STREAM), h2.continuation(0, extra)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.10/4',
    'CONTINUATION behind END_HEADERS',
    sends(get(), h2.continuation(1, extra)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.10/5',
    'CONTINUATION behind a CONTINUATION with END_HEADERS',
    sends(h2.headers(1, GET, END_STREAM), h2.continuation(1, extra), h2.continuation(1, extra)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h6.10/6',
    'CONTINUATION behind DATA',
    sends(h2.headers(1, POST, 0), h2.data(1, 'test', END_STREAM), h2.continuation(1, extra, 0)),
    connection(PROTOCOL_ERROR),
  ),
  rule(
    'h7/1',
    'GOAWAY with an unknown code is the end, as with any',
    sends(h2.goaway(0, 0xff)),
    check((client) => client.goodbye()),
  ),
  rule('h7/2', 'RST_STREAM with an unknown code', sends(post(), h2.rst(1, 0xff)), ponged),
]

const messages: Rule[] = [
  rule('g4/1', 'GET', sends(get()), answered),
  rule('g4/2', 'HEAD', sends(asks({ ':method': 'HEAD' })), answered),
  rule('g4/3', 'POST', sends(post(), h2.data(1, 'test', END_STREAM)), answered),
  rule(
    'g4/4',
    'POST with trailers',
    sends(post(), h2.data(1, 'test'), h2.headers(1, one(['x-test', 'ok']))),
    answered,
  ),
  rule(
    'h8.1/1',
    'a second HEADERS frame without END_STREAM',
    sends(post(), h2.headers(1, one(['x', '1']), END_HEADERS)),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2/1',
    'upper case in the name of a field',
    sends(asks({ 'X-TEST': 'ok' })),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2.1/1',
    'an unknown pseudo-header field',
    sends(asks({ ':test': 'ok' })),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2.1/2',
    'a pseudo-header field of answers',
    sends(asks({ ':status': '200' })),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2.1/3',
    'a pseudo-header field in trailers',
    sends(post(), h2.data(1, 'test'), h2.headers(1, one([':method', 'POST']))),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2.1/4',
    'a pseudo-header field behind others',
    sends(h2.headers(1, one(['x', '1'], ...h2.request()))),
    stream(PROTOCOL_ERROR),
  ),
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'].map((name) =>
    rule(
      'h8.1.2.2/1',
      `${name}, which HTTP/2 does not have`,
      sends(asks({ [name]: 'keep-alive' })),
      stream(PROTOCOL_ERROR),
    ),
  ),
  rule(
    'h8.1.2.2/2',
    'te with more than trailers',
    sends(asks({ te: 'trailers, deflate;q=0.5' })),
    stream(PROTOCOL_ERROR),
  ),
  rule('8.2.2', 'te: trailers', sends(asks({ te: 'trailers' })), answered),
  rule('h8.1.2.3/1', 'an empty :path', sends(asks({ ':path': '' })), stream(PROTOCOL_ERROR)),
  rule('h8.1.2.3/2', 'no :method', sends(without(':method')), stream(PROTOCOL_ERROR)),
  rule('h8.1.2.3/3', 'no :scheme', sends(without(':scheme')), stream(PROTOCOL_ERROR)),
  rule('h8.1.2.3/4', 'no :path', sends(without(':path')), stream(PROTOCOL_ERROR)),
  ...[':method', ':scheme', ':path', ':authority'].map((name, nth) =>
    rule(
      `h8.1.2.3/${5 + nth}`,
      `${name} twice`,
      sends(asks({}, [[name, h2.request().find(([key]) => key === name)![1]]])),
      stream(PROTOCOL_ERROR),
    ),
  ),
  rule(
    'h8.1.2.6/1',
    'a Content-Length that is not that of the DATA',
    sends(
      h2.headers(1, h2.literals(...h2.request({ ':method': 'POST', 'content-length': '1' })), END_HEADERS),
      h2.data(1, 'test', END_STREAM),
    ),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.1.2.6/2',
    'nor of several DATA frames together',
    sends(
      h2.headers(1, h2.literals(...h2.request({ ':method': 'POST', 'content-length': '1' })), END_HEADERS),
      h2.data(1, 'test'),
      h2.data(1, 'test', END_STREAM),
    ),
    stream(PROTOCOL_ERROR),
  ),
  rule(
    'h8.2/1',
    'PUSH_PROMISE of a client',
    sends(h2.frame(h2.kinds.PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([h2.u32(2), GET]))),
    connection(PROTOCOL_ERROR),
  ),
]

/** The Huffman code of the value of a field x, by its bytes. */
const huffman = (...bytes: number[]): Buffer =>
  h2.headers(1, Buffer.concat([GET, Buffer.from([0x00, 1, 0x78, 0x80 | bytes.length, ...bytes])]))

const compression: Rule[] = [
  rule(
    'g5/1',
    'an indexed field of the dynamic table',
    sends(h2.headers(1, Buffer.concat([GET, h2.indexed('x-a', '1'), h2.byIndex(62)]))),
    answered,
  ),
  rule(
    'g5/2',
    'a literal that goes into the table, with a name of the table',
    sends(h2.headers(1, Buffer.concat([GET, Buffer.from([0x40 | 58, 1, 0x61])]))),
    answered,
  ),
  rule(
    'g5/5',
    'a literal that goes into the table',
    sends(h2.headers(1, Buffer.concat([GET, h2.indexed('x-test', 'h2')]))),
    answered,
  ),
  rule(
    'g5/8',
    'a literal that does not',
    sends(h2.headers(1, Buffer.concat([GET, one(['x-test', 'h2'])]))),
    answered,
  ),
  rule(
    'g5/12',
    'a literal that never may',
    sends(h2.headers(1, Buffer.concat([GET, Buffer.from([0x10, 1, 0x78, 1, 0x79])]))),
    answered,
  ),
  rule(
    'g5/14',
    'an update of the size of the table',
    sends(h2.headers(1, Buffer.concat([h2.tableSize(0), GET]))),
    answered,
  ),
  rule(
    'g5/15',
    'two of them',
    sends(h2.headers(1, Buffer.concat([h2.tableSize(0), h2.tableSize(4096), GET]))),
    answered,
  ),
  rule(
    'p2.3.3/1',
    'an index beyond both tables',
    sends(h2.headers(1, Buffer.concat([GET, h2.byIndex(70)]))),
    connection(COMPRESSION_ERROR),
  ),
  rule(
    'p2.3.3/2',
    'a name by an index beyond both tables',
    sends(h2.headers(1, Buffer.concat([GET, Buffer.from([0x7f, 0x07, 1, 0x61])]))),
    connection(COMPRESSION_ERROR),
  ),
  rule(
    'p4.2/1',
    'an update of the size of the table behind a field',
    sends(h2.headers(1, Buffer.concat([GET, h2.tableSize(0)]))),
    connection(COMPRESSION_ERROR),
  ),
  rule('g5', 'Huffman code', sends(huffman(0x1f)), answered),
  rule(
    'p5.2/1',
    'Huffman code with more than 7 bits of padding',
    sends(huffman(0x1f, 0xff)),
    connection(COMPRESSION_ERROR),
  ),
  rule('p5.2/2', 'Huffman code padded with zeros', sends(huffman(0x18)), connection(COMPRESSION_ERROR)),
  rule(
    'p5.2/3',
    'Huffman code with EOS in it',
    sends(huffman(0x1f, 0xff, 0xff, 0xff, 0xff)),
    connection(COMPRESSION_ERROR),
  ),
  rule(
    'p6.1/1',
    'index 0',
    sends(h2.headers(1, Buffer.concat([GET, Buffer.from([0x80])]))),
    connection(COMPRESSION_ERROR),
  ),
  rule(
    'p6.3/1',
    'a table larger than it may be',
    sends(h2.headers(1, Buffer.concat([h2.tableSize(1 << 20), GET]))),
    connection(COMPRESSION_ERROR),
  ),
]

export const rules: Rule[] = [
  ...starting,
  ...framing,
  ...states,
  ...frames,
  ...continued,
  ...messages,
  ...compression,
]
