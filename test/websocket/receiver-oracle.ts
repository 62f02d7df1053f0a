// The Receiver of `ws` as an oracle: fed byte by byte, it shows where frames begin, the number of messages,
// and the first frame that it refused. This file is the one place that lists where Sidegate is stricter on
// purpose.

import * as ws from 'ws'

interface Receiver {
  readonly _state: number
  readonly _opcode: number
  readonly _bufferedBytes: number
  _skipUTF8Validation: boolean
  _totalPayloadLength: number
  _messageLength: number
  readonly _fragments: Buffer[]
  decompress(data: Buffer, done: (error?: Error) => void): void
  dataMessage(done: (error?: Error) => void): void
  on(event: 'message' | 'conclude', run: () => void): void
  _write(chunk: Buffer, encoding: string, done: (error?: Error) => void): void
}

const { Receiver } = ws as unknown as { Receiver: new (options: object) => Receiver }
const kStatusCode = Object.getOwnPropertySymbols(errorOf(Buffer.of(0xf0, 0))).find(
  (symbol) => symbol.description === 'status-code',
)!

export interface OracleRules {
  isMasked: boolean
  isCompressed: boolean
  maxMessageBytes: number
}

export interface Verdict {
  /** Of the close frame that the first bad frame deserves; null while all is well. */
  code: number | null
  /** The bytes that may go on: those before the bad frame, or before a frame that is held back until it can be judged. */
  passes: Buffer
  /** A Close frame came: what follows it counts for nothing. */
  isClosed: boolean
  messages: number
}

function makeReceiver(rules: OracleRules): Receiver {
  const receiver = new Receiver({
    isServer: rules.isMasked,
    maxPayload: Number.isFinite(rules.maxMessageBytes) ? rules.maxMessageBytes : 0,
    extensions: rules.isCompressed ? { 'permessage-deflate': {} } : {},
  })
  // What compressed payloads inflate to is not looked at: they stand for themselves.
  receiver.decompress = (data, done) => {
    if (data.length > 0) receiver._fragments.push(data)
    receiver._messageLength = receiver._totalPayloadLength
    receiver.dataMessage(done)
  }
  return receiver
}

function errorOf(bytes: Buffer): Error {
  let found: Error | undefined
  makeReceiver({ isMasked: false, isCompressed: false, maxMessageBytes: 0 })._write(
    bytes,
    'buffer',
    (error) => (found = error),
  )
  return found!
}

/** What `ws` says of `bytes`, corrected for what Sidegate sees in another way. */
export function judge(bytes: Buffer, rules: OracleRules): Verdict {
  const received = Buffer.from(bytes)
  const { end, closeAt, ...verdict } = receive(received, rules)
  // The Close of a service with 1005 goes on without a payload.
  const hasNoCode =
    verdict.isClosed && !rules.isMasked && end > closeAt + 3 && bytes.readUInt16BE(closeAt + 2) === 1005
  const passes = hasNoCode
    ? Buffer.concat([bytes.subarray(0, closeAt + 1), Buffer.of(0)])
    : bytes.subarray(0, end)
  return { ...verdict, passes }
}

type Received = Omit<Verdict, 'passes'> & { end: number; closeAt: number }

function receive(bytes: Buffer, rules: OracleRules): Received {
  const receiver = makeReceiver(rules)
  const seen = { messages: 0, isClosed: false, closeAt: 0 }
  let failure: Error | undefined
  receiver.on('message', () => void (seen.messages += 1))
  receiver.on('conclude', () => void (seen.isClosed = true))
  let frame = 0
  for (const [at, byte] of bytes.entries()) {
    // Stricter than `ws`: lengths in their minimal form only (RFC 6455 section 5.2), and none with the highest bit set.
    if (at === frame && hasBadLength(bytes, frame, rules)) return { code: 1002, end: frame, ...seen }
    if (at === frame) {
      seen.closeAt = frame
      giveKnownCode(bytes, frame, rules)
    }
    // Laxer than `ws`: an intermediary does not check the UTF-8 of text, only that of close reasons.
    receiver._skipUTF8Validation = receiver._opcode !== 8
    receiver._write(Buffer.of(byte), 'buffer', (error) => (failure ??= error))
    if (failure !== undefined) break
    if (receiver._state === 0 && receiver._bufferedBytes === 0) frame = at + 1
    if (seen.isClosed) break
  }
  if (seen.isClosed || frame === bytes.length) return { code: null, end: frame, ...seen }
  const isWhole = headerSize(bytes, frame, rules) <= bytes.length - frame
  const isControl = (bytes[frame]! & 8) !== 0
  // `ws` judges a length as soon as it has it; Sidegate with the whole header, and a control frame when it is whole.
  if (failure !== undefined && (isWhole || isJudgedAtOnce(failure)))
    return { code: codeOf(failure), end: frame, ...seen }
  return { code: null, end: isWhole && !isControl ? bytes.length : frame, ...seen }
}

/** Laxer than `ws`: a service may close with any code but three, as far as browsers are concerned. */
function giveKnownCode(bytes: Buffer, at: number, rules: OracleRules): void {
  const isClose = (bytes[at]! & 15) === 8 && bytes.length >= at + 4
  const size = headerSize(bytes, at, rules)
  if (rules.isMasked || !isClose || size < 4 || size > bytes.length - at) return
  if (![1004, 1006, 1015].includes(bytes.readUInt16BE(at + 2))) bytes.writeUInt16BE(1000, at + 2)
}

function codeOf(failure: Error): number {
  return (failure as unknown as Record<symbol, number>)[kStatusCode]!
}

function isJudgedAtOnce(failure: Error): boolean {
  return codeOf(failure) === 1002 && !failure.message.endsWith('invalid payload length 1')
}

/** Bytes of the header at `at`, and of a control frame all. */
export function headerSize(bytes: Buffer, at: number, { isMasked }: OracleRules): number {
  if (bytes.length - at < 2) return 2
  const short = bytes[at + 1]! & 0x7f
  const head = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (isMasked ? 4 : 0)
  return (bytes[at]! & 8) === 0 ? head : head + short
}

function hasBadLength(bytes: Buffer, at: number, rules: OracleRules): boolean {
  const short = bytes[at + 1]! & 0x7f
  if (headerSize(bytes, at, rules) > bytes.length - at || (bytes[at]! & 8) !== 0 || short < 126) return false
  if (short === 126) return bytes.readUInt16BE(at + 2) < 126
  const length = bytes.readBigUInt64BE(at + 2)
  return length < 65_536n || length >= 2n ** 63n
}
