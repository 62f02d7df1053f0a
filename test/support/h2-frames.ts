// HTTP/2 frames and header blocks by hand, right or wrong as the test chooses.

export const kinds = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
  PRIORITY_UPDATE: 16,
} as const
export const ACK = 0x1
export const END_STREAM = 0x1
export const END_HEADERS = 0x4
export const PADDED = 0x8
export const PRIORITY_FLAG = 0x20

export const codes = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
} as const

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

export interface H2Frame {
  type: number
  flags: number
  stream: number
  payload: Buffer
}

/** `length` in its header may be false. */
export function frame(
  type: number,
  flags = 0,
  stream = 0,
  payload: Uint8Array = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const bytes = Buffer.alloc(9 + payload.length)
  bytes.writeUIntBE(length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(stream >>> 0, 5)
  bytes.set(payload, 9)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

export type Setting = readonly [id: number, value: number]
export const SETTING = {
  HEADER_TABLE_SIZE: 1,
  ENABLE_PUSH: 2,
  MAX_CONCURRENT_STREAMS: 3,
  INITIAL_WINDOW_SIZE: 4,
  MAX_FRAME_SIZE: 5,
  MAX_HEADER_LIST_SIZE: 6,
  ENABLE_CONNECT_PROTOCOL: 8,
} as const

export const settings = (...all: Setting[]): Buffer =>
  frame(
    kinds.SETTINGS,
    0,
    0,
    Buffer.concat(all.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id & 255]), u32(value)]))),
  )
export const settingsAck = (): Buffer => frame(kinds.SETTINGS, ACK)
export const ping = (payload = Buffer.alloc(8)): Buffer => frame(kinds.PING, 0, 0, payload)
export const windowUpdate = (stream: number, increment: number): Buffer =>
  frame(kinds.WINDOW_UPDATE, 0, stream, u32(increment))
export const rst = (stream: number, code: number = codes.CANCEL): Buffer =>
  frame(kinds.RST_STREAM, 0, stream, u32(code))
export const goaway = (last = 0, code: number = codes.NO_ERROR): Buffer =>
  frame(kinds.GOAWAY, 0, 0, Buffer.concat([u32(last), u32(code)]))
export const priority = (stream: number, dependsOn = 0, weight = 15): Buffer =>
  frame(kinds.PRIORITY, 0, stream, Buffer.concat([u32(dependsOn), Buffer.from([weight])]))
export const data = (stream: number, payload: Uint8Array | string = '', flags = 0): Buffer =>
  frame(kinds.DATA, flags, stream, typeof payload === 'string' ? Buffer.from(payload) : payload)
export const headers = (stream: number, block: Uint8Array, flags = END_HEADERS | END_STREAM): Buffer =>
  frame(kinds.HEADERS, flags, stream, block)
export const continuation = (stream: number, block: Uint8Array, flags = END_HEADERS): Buffer =>
  frame(kinds.CONTINUATION, flags, stream, block)

export type Field = readonly [name: string, value: string]

/** An integer of HPACK (RFC 7541 section 5.1) with a prefix of so many bits. */
function integer(value: number, bits: number, first = 0): Buffer {
  const max = (1 << bits) - 1
  if (value < max) return Buffer.from([first | value])
  const out = [first | max]
  for (value -= max; value >= 128; value = Math.floor(value / 128)) out.push((value & 127) | 128)
  out.push(value)
  return Buffer.from(out)
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  return Buffer.concat([integer(bytes.length, 7), bytes])
}

/** Literal fields without indexing, byte for byte as given, forbidden ones included. */
export function literals(...fields: Field[]): Buffer {
  return Buffer.concat(
    fields.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  )
}

/** A literal field that goes into the dynamic table. */
export function indexed(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)])
}

/** A field by its index in the tables; the newest of the dynamic one is 62. */
export function byIndex(index: number): Buffer {
  return integer(index, 7, 0x80)
}

/** Sets the size of the dynamic table. */
export function tableSize(bytes: number): Buffer {
  return integer(bytes, 5, 0x20)
}

/** The fields of an ordinary request; the given ones replace or follow them. */
export function request(more: Record<string, string> = {}, rest: Field[] = []): Field[] {
  const pseudo: Record<string, string> = {
    ':method': 'GET',
    ':scheme': 'http',
    ':path': '/',
    ':authority': 'a',
  }
  const others: Field[] = []
  for (const [name, value] of Object.entries(more)) {
    if (name.startsWith(':')) pseudo[name] = value
    else others.push([name, value])
  }
  return [...Object.entries(pseudo), ...others, ...rest]
}

export const GET = literals(...request())

/** The block of a WebSocket's request (RFC 8441). */
export const websocket = (path = '/'): Buffer =>
  literals(
    ...request({
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':path': path,
      'sec-websocket-version': '13',
    }),
  )

/** Cuts frames out of a stream that comes in pieces. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)
  readonly #onFrame: (frame: H2Frame) => void

  constructor(onFrame: (frame: H2Frame) => void) {
    this.#onFrame = onFrame
  }

  write(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < 9 + length) return
      this.#onFrame({
        type: this.#rest[3]!,
        flags: this.#rest[4]!,
        stream: this.#rest.readUInt32BE(5) & 0x7fff_ffff,
        payload: Buffer.from(this.#rest.subarray(9, 9 + length)),
      })
      this.#rest = this.#rest.subarray(9 + length)
    }
  }
}
