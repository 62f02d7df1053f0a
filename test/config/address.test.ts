import { test } from 'tap'
import type { Address } from '../../src/config/address.ts'
import { formatAddress, isLoopback, overlaps, parseAddress, reaches } from '../../src/config/address.ts'

function parsed(text: string): Address {
  const result = parseAddress(text, 'listen')
  if ('problem' in result) throw new Error(result.problem)
  return result.value
}

test('every form of address is read, and written back as one that is read the same', async (t) => {
  const table: [string, Address][] = [
    [':17080', { kind: 'tcp', host: null, port: 17_080 }],
    ['127.0.0.1:8080', { kind: 'tcp', host: '127.0.0.1', port: 8080 }],
    ['0.0.0.0:1', { kind: 'tcp', host: '0.0.0.0', port: 1 }],
    ['[::1]:65535', { kind: 'tcp', host: '::1', port: 65_535 }],
    ['[0:0:0:0:0:0:0:1]:80', { kind: 'tcp', host: '::1', port: 80 }],
    ['[::FFFF:1.2.3.4]:80', { kind: 'tcp', host: '::ffff:1.2.3.4', port: 80 }],
    ['Legacy.example.com:80', { kind: 'tcp', host: 'legacy.example.com', port: 80 }],
    [
      'legacy_app.ns.svc.cluster.local.:80',
      { kind: 'tcp', host: 'legacy_app.ns.svc.cluster.local.', port: 80 },
    ],
    [':0', { kind: 'tcp', host: null, port: 0 }],
    ['unix:/run/app.sock', { kind: 'unix', path: '/run/app.sock' }],
  ]
  for (const [text, address] of table) {
    t.strictSame(parsed(text), address, text)
    t.strictSame(parsed(formatAddress(address)), address)
  }
})

test('what is no address is answered with one', async (t) => {
  const table: [unknown, string][] = [
    [8080, 'got 8080, write host:port, such as :8080'],
    ['8080', 'got "8080", write host:port or :port, such as 127.0.0.1:8080 or :8080'],
    ['', 'got "", write host:port or :port, such as 127.0.0.1:8080 or :8080'],
    ['localhost', 'got localhost, write host:port or :port, such as 127.0.0.1:8080 or :8080'],
    ['*:80', 'got *:80, write :80'],
    ['::1', 'got ::1, write [::1]:port'],
    ['fe80::1:2:80', 'got fe80::1:2:80, write [fe80::1:2]:80'],
    ['a:b:80', 'got a:b:80, write an IPv6 address in brackets, such as [::1]:8080'],
    ['[127.0.0.1]:80', 'got [127.0.0.1]:80, the brackets must hold an IPv6 address, such as [::1]:8080'],
    [
      '[fe80::1%eth0]:80',
      'got [fe80::1%eth0]:80, the brackets must hold an IPv6 address, such as [::1]:8080',
    ],
    [
      'http://a:80',
      'got http://a:80, write host:port or :port, such as 127.0.0.1:8080 or :8080, without a scheme or path',
    ],
    ['a:80/x', 'got a:80/x, write host:port or :port, such as 127.0.0.1:8080 or :8080'],
    ['a:65536', 'got a:65536, the port must be 1 to 65535'],
    ['256.0.0.1:80', 'got 256.0.0.1:80, the host is neither an IPv4 address nor a name'],
    ['127.1:80', 'got 127.1:80, the host is neither an IPv4 address nor a name'],
    ['-a:80', 'got -a:80, the host is not a valid name'],
    ['a b:80', 'got "a b:80", the host is not a valid name'],
    ['a\r\nX: y:80', 'got "a\\r\\nX: y:80", write an IPv6 address in brackets, such as [::1]:8080'],
    ['a\u0000:80', 'got "a\\u0000:80", the host is not a valid name'],
    [`${'a'.repeat(64)}:80`, `got ${JSON.stringify(`${'a'.repeat(60)}…`)}, the host is not a valid name`],
    ['unix:app.sock', 'got unix:app.sock, write an absolute path, such as unix:/run/app.sock'],
    ['unix:/a\u0000b', 'got "unix:/a\\u0000b", the path must not hold control characters'],
    [
      `unix:/${'a'.repeat(107)}`,
      `got ${JSON.stringify(`unix:/${'a'.repeat(54)}…`)}, the path must be at most 107 bytes`,
    ],
    [null, 'got nothing, write host:port or :port, such as 127.0.0.1:8080 or :8080'],
  ]
  for (const [input, problem] of table) t.strictSame(parseAddress(input, 'listen'), { problem })
})

test('one cannot dial every interface or port 0', async (t) => {
  t.strictSame(parseAddress(':8080', 'dial'), {
    problem: 'got :8080, write which host, such as 127.0.0.1:8080',
  })
  t.strictSame(parseAddress('a:0', 'dial'), { problem: 'got a:0, the port must be 1 to 65535' })
  t.strictSame(parseAddress(8080, 'dial'), { problem: 'got 8080, write host:port, such as 127.0.0.1:8080' })
})

test('addresses overlap where two listeners could not both be opened', async (t) => {
  const overlapping = [
    [':80', '127.0.0.1:80'],
    [':80', '[::1]:80'],
    ['[::]:80', '0.0.0.0:80'],
    ['0.0.0.0:80', 'localhost:80'],
    ['localhost:80', '[::1]:80'],
    ['unix:/a', 'unix:/a'],
  ]
  const apart = [
    [':80', ':81'],
    ['127.0.0.1:80', '127.0.0.2:80'],
    ['0.0.0.0:80', '[::1]:80'],
    [':0', ':0'],
    ['unix:/a', 'unix:/b'],
    ['unix:/a', ':80'],
  ]
  for (const [one = '', other = ''] of overlapping) {
    t.ok(overlaps(parsed(one), parsed(other)), `${one} ${other}`)
    t.ok(overlaps(parsed(other), parsed(one)), `${other} ${one}`)
  }
  for (const [one = '', other = ''] of apart) {
    t.notOk(overlaps(parsed(one), parsed(other)), `${one} ${other}`)
    t.notOk(overlaps(parsed(other), parsed(one)), `${other} ${one}`)
  }
})

test('dialling ourselves is seen, dialling another host on the same port is not mistaken for it', async (t) => {
  for (const [target = '', listener = ''] of [
    ['127.0.0.1:80', ':80'],
    ['localhost:80', '127.0.0.1:80'],
    ['0.0.0.0:80', '127.0.0.1:80'],
    ['10.0.0.1:80', '10.0.0.1:80'],
    ['unix:/a', 'unix:/a'],
  ]) {
    t.ok(reaches(parsed(target), parsed(listener)), `${target} ${listener}`)
  }
  for (const [target = '', listener = ''] of [
    ['10.0.0.1:80', ':80'],
    ['127.0.0.1:80', '10.0.0.1:80'],
    ['127.0.0.1:81', ':80'],
    ['[::1]:80', '0.0.0.0:80'],
    ['unix:/a', ':80'],
  ]) {
    t.notOk(reaches(parsed(target), parsed(listener)), `${target} ${listener}`)
  }
})

test('loopback is 127.0.0.0/8, ::1, localhost and Unix sockets', async (t) => {
  for (const text of [
    '127.0.0.1:1',
    '127.9.9.9:1',
    '[::1]:1',
    '[::ffff:127.0.0.1]:1',
    'localhost:1',
    'unix:/a',
  ])
    t.ok(isLoopback(parsed(text)), text)
  for (const text of [':1', '0.0.0.0:1', '[::]:1', '10.0.0.1:1', 'example.com:1'])
    t.notOk(isLoopback(parsed(text)), text)
})
