import { test } from 'tap'
import { notHttp } from '../../src/http1/not-http.ts'

test('a request is waited for as long as it may still become one', (t) => {
  const whole = 'M-SEARCH http://a/?b HTTP/1.1\r\nHost: \xe4\r\n\r\n'
  for (let end = 0; end <= whole.length; end++)
    t.equal(notHttp(whole.slice(0, end)), null, JSON.stringify(whole.slice(0, end)))
  t.equal(notHttp('GET / HTTP/1.0\r\n'), null)
  t.end()
})

test('what cannot is named at its first wrong byte', (t) => {
  const rows: Array<[begin: string, problem: RegExp]> = [
    ['\x16', /TLS/],
    ['\x80\x2e\x01', /SSL 2/],
    ['\0\r\nQUIT\n!', /PROXY/],
    ['PROXY UNKNOWN\r\n', /PROXY/],
    ['\x10\x81\x01\0\x04MQTT', /MQTT/],
    ['\0', /^malformed/],
    ['G\0', /^malformed/],
    ['\n', /^malformed/],
    [' GET', /^malformed/],
    ['GET / HTTP/2.0\r\n', /^malformed/],
    ['GET  / HTTP/1.1\r\n', /^malformed/],
    ['GET / HTTP/1.1 \r\n', /^malformed/],
    ['GET / HTTP/1.1\n', /bare/],
  ]
  for (const [begin, problem] of rows) {
    t.match(notHttp(begin), problem, JSON.stringify(begin))
  }
  t.end()
})
