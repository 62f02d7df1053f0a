import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

test('each value has the place of itself, and each map and list that of its key', async (t) => {
  const text = `workers: 1
health:
  address: ":17021"
listeners:
  - address: "\${ADDRESS}"
    protocol: tcp
    upstream: { addresses: ["127.0.0.1:1",
      "127.0.0.1:2"] }
  - { address: ":17081", protocol: tcp, upstream: "127.0.0.1:1" }
`
  const { places } = checkText(text, 'f', { ADDRESS: ':17080' })
  t.same(places, {
    workers: { line: 1, column: 10 },
    health: { line: 2, column: 1 },
    'health.address': { line: 3, column: 12 },
    listeners: { line: 4, column: 1 },
    'listeners[0]': { line: 5, column: 5 },
    'listeners[0].address': { line: 5, column: 14 },
    'listeners[0].protocol': { line: 6, column: 15 },
    'listeners[0].upstream': { line: 7, column: 5 },
    'listeners[0].upstream.addresses': { line: 7, column: 17 },
    'listeners[0].upstream.addresses[0]': { line: 7, column: 29 },
    'listeners[0].upstream.addresses[1]': { line: 8, column: 7 },
    'listeners[1]': { line: 9, column: 5 },
    'listeners[1].address': { line: 9, column: 16 },
    'listeners[1].protocol': { line: 9, column: 36 },
    'listeners[1].upstream': { line: 9, column: 51 },
  })
})
