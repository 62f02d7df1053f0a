// Bytes that cannot become an HTTP/1 request, recognised by the first of them: the refusal comes at once, and
// its words show the operator which protocol came instead.

import { faultOf } from './fault.ts'

const methodPattern = /^(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: |$)|$)/
const linePattern = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [\x21-\x7e]+ HTTP\/1\.[01]\r$/

/** How other protocols begin; `?` is any byte. */
const looks: ReadonlyArray<readonly [begin: string, words: string]> = [
  ['\x16', 'a TLS handshake (this listener has no tls)'],
  ['\x80?\x01', 'an SSL 2 handshake (this listener has no tls)'],
  ['PRI * HTTP/2', 'HTTP/2 without TLS (http.h2c)'],
  ['SSH-', 'SSH'],
  ['PROXY ', 'a PROXY header (proxyProtocol.accept, proxyProtocol.trusted)'],
  ['\0\r\nQUIT\n', 'a PROXY header (proxyProtocol.accept, proxyProtocol.trusted)'],
  ['\0\0\0?\x04\xd2\x16', 'PostgreSQL'],
  ['\0\0??\0\x03\0\0', 'PostgreSQL'],
  ['AMQP', 'AMQP'],
  ['\x10?\0\x04MQTT', 'MQTT'],
  ['\x10??\0\x04MQTT', 'MQTT'],
  ['\x10?\0\x06MQIsdp', 'MQTT'],
  ['*?\r\n', 'Redis'],
  ['EHLO ', 'SMTP'],
  ['HELO ', 'SMTP'],
  ['\x03\0', 'RDP'],
]

function beginsWith(text: string, begin: string): boolean {
  for (let i = 0; i < begin.length; i++) if (begin[i] !== '?' && begin[i] !== text[i]) return false
  return text.length >= begin.length
}

/**
 * The fault in the beginning of a request, in latin1, as far as it has come and without empty lines before
 * it; null while it may still become one.
 */
export function notHttp(begin: string): string | null {
  const end = begin.indexOf('\n')
  if (end >= 0 ? linePattern.test(begin.slice(0, end)) : methodPattern.test(begin)) return null
  if (end >= 0 && linePattern.test(`${begin.slice(0, end)}\r`))
    return faultOf('bare CR or LF in the head', begin, 'request')
  const look = looks.find(([prefix]) => beginsWith(begin, prefix))
  return look === undefined
    ? faultOf('malformed request line', begin, 'request')
    : `no HTTP: it looks like ${look[1]}`
}
