import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

test('a value that the file writes is of the file, one with a variable of the environment, all others are defaults', (t) => {
  const text = `
log: { level: "\${LEVEL}", format: "json" }
drain:
  spread: 5s
listeners:
  - address: ":17080"
    protocol: http
    upstream: 127.0.0.1:8080
    access: { allow: [10.0.0.0/8, "\${NETWORK}"] }
  - address: ":17081"
    protocol: tcp
    upstream: { addresses: ["127.0.0.1:9000"], balance: roundRobin }
`
  const { origins } = checkText(text, 'f', { LEVEL: 'warn', NETWORK: '192.0.2.0/24' })
  t.same(origins, {
    'log.level': 'environment',
    'log.format': 'file',
    'drain.spread': 'file',
    'listeners[0].address': 'file',
    'listeners[0].protocol': 'file',
    'listeners[0].upstream.addresses': 'file',
    'listeners[0].access.allow': 'environment',
    'listeners[1].address': 'file',
    'listeners[1].protocol': 'file',
    'listeners[1].upstream.addresses': 'file',
    'listeners[1].upstream.balance': 'file',
  })
  t.end()
})
