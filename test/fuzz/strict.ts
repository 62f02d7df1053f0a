// A strict reader of HTTP/1.1 streams (RFC 9112), which shares no code with the readers that it judges:
// regular expressions over the whole of a stream in latin1. It stops at the first bytes with two readings.

export interface Message {
  /** Method and target, or the status. */
  line: string
  body: string
}

export interface Stream {
  messages: Message[]
  /** It ends with a message; inside one; or cannot be read further. */
  end: 'done' | 'cut' | 'bad'
  /** Where the last whole message ends. */
  at: number
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const value = '[\\t\\x20-\\x7e\\x80-\\xff]*'
const requestLine = new RegExp(`^(${token}) ([\\x21-\\x7e]+) HTTP/1\\.([01])$`)
const statusLine = new RegExp(`^HTTP/1\\.([01]) ([1-9][0-9]{2})(?: ${value})?$`)
const headerLine = new RegExp(`^(${token}):[ \\t]*(${value}?)[ \\t]*$`)
const sizeLine = /([0-9A-Fa-f]{1,16})(?:;[^\r\n]*)?\r\n/y
const lengthPattern = /^(?:0|[1-9][0-9]{0,14})$/

type Headers = Array<[name: string, value: string]>
type Body = { body: string; at: number } | 'cut' | 'bad'

function headersOf(lines: string[]): Headers | null {
  const found = lines.map((line) => headerLine.exec(line))
  return found.every((match) => match !== null)
    ? found.map((match) => [match[1]!.toLowerCase(), match[2]!])
    : null
}

const values = (headers: Headers, name: string): string[] =>
  headers.filter(([key]) => key === name).map(([, text]) => text)

function chunks(text: string, start: number): Body {
  let body = ''
  for (let at = start; ;) {
    sizeLine.lastIndex = at
    const match = sizeLine.exec(text)
    if (match === null) return /\n/.test(text.slice(at)) ? 'bad' : 'cut'
    at += match[0].length
    const size = Number.parseInt(match[1]!, 16)
    if (size > Number.MAX_SAFE_INTEGER) return 'bad'
    if (size === 0) return trailers(text, at, body)
    if (at + size + 2 > text.length) return 'cut'
    body += text.slice(at, at + size)
    at += size + 2
    if (text.slice(at - 2, at) !== '\r\n') return 'bad'
  }
}

function trailers(text: string, start: number, body: string): Body {
  if (text.startsWith('\r\n', start)) return { body, at: start + 2 }
  const end = text.indexOf('\r\n\r\n', start)
  if (end < 0) return 'cut'
  return headersOf(text.slice(start, end).split('\r\n')) === null ? 'bad' : { body, at: end + 4 }
}

/** The body behind a head; `otherwise` is what it is where nothing frames it. */
function bodyAt(
  text: string,
  start: number,
  headers: Headers,
  otherwise: 'none' | 'end',
  version: string,
): Body {
  const [lengths, codings] = [values(headers, 'content-length'), values(headers, 'transfer-encoding')]
  if (codings.length > 0)
    return lengths.length === 0 &&
      version === '1' &&
      codings.length === 1 &&
      codings[0]!.toLowerCase() === 'chunked'
      ? chunks(text, start)
      : 'bad'
  if (lengths.length === 0)
    return otherwise === 'none' ? { body: '', at: start } : { body: text.slice(start), at: text.length }
  if (lengths.length > 1 || !lengthPattern.test(lengths[0]!)) return 'bad'
  const end = start + Number(lengths[0])
  return end > text.length ? 'cut' : { body: text.slice(start, end), at: end }
}

export function strictRequests(text: string): Stream {
  const messages: Message[] = []
  for (let at = 0; ;) {
    let start = at
    while (text.startsWith('\r\n', start)) start += 2
    if (start === text.length) return { messages, end: 'done', at }
    const end = text.indexOf('\r\n\r\n', start)
    if (end < 0) return { messages, end: 'cut', at }
    const [first, ...lines] = text.slice(start, end).split('\r\n')
    const [line, headers] = [requestLine.exec(first!), headersOf(lines)]
    if (line === null || headers === null) return { messages, end: 'bad', at }
    const hosts = values(headers, 'host').length
    const isHopByHop = values(headers, 'connection')
      .join()
      .split(',')
      .some((name) => /^\s*(?:content-length|host)\s*$/i.test(name))
    const body =
      isHopByHop || hosts > 1 || (hosts === 0 && line[3] === '1')
        ? 'bad'
        : bodyAt(text, end + 4, headers, 'none', line[3]!)
    if (typeof body === 'string') return { messages, end: body, at }
    messages.push({ line: `${line[1]} ${line[2]}`, body: body.body })
    at = body.at
  }
}

/**
 * The answers to requests with those methods, interim ones left out; what no request asked for is not read. A service may leave empty lines
 * before an answer, and frame what has no body: nobody reads that in two ways, but we are not to say it.
 */
export function strictAnswers(text: string, methods: readonly string[], isService = false): Stream {
  const messages: Message[] = []
  let at = 0
  while (messages.length < methods.length) {
    if (isService) while (text.startsWith('\r\n', at)) at += 2
    const end = text.indexOf('\r\n\r\n', at)
    if (at === text.length) return { messages, end: 'done', at }
    if (end < 0) return { messages, end: 'cut', at }
    const [first, ...lines] = text.slice(at, end).split('\r\n')
    const [line, headers] = [statusLine.exec(first!), headersOf(lines)]
    if (line === null || headers === null || line[2] === '101') return { messages, end: 'bad', at }
    if (line[2]!.startsWith('1')) {
      if (
        !isService &&
        values(headers, 'content-length').length + values(headers, 'transfer-encoding').length > 0
      )
        return { messages, end: 'bad', at }
      at = end + 4
      continue
    }
    const isBodyless = methods[messages.length] === 'HEAD' || line[2] === '204' || line[2] === '304'
    const body: Body = isBodyless
      ? { body: '', at: end + 4 }
      : bodyAt(text, end + 4, headers, line[2] === '205' ? 'none' : 'end', line[1]!)
    if (typeof body === 'string') return { messages, end: body, at }
    messages.push({ line: line[2]!, body: body.body })
    at = body.at
    // Whoever is told so reads no further.
    if (!isService && at < text.length && values(headers, 'connection').join().includes('close'))
      return { messages, end: 'bad', at }
  }
  return { messages, end: 'done', at }
}
