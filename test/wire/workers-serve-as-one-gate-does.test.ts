// Files of this suite once more, with gates in threads: those in which the configuration, a question, a count
// or an end crosses between the operator and its gates. Rules of the path alone are the same code in a
// thread: workers-are-one-gate.test.ts has every transport through it, workers-relay-every-kind.test.ts
// requests and half-closes, workers-ask-h2c-services.test.ts calls of gRPC. Left out are files that look into
// the connections, which are then in other threads, and those that count what each gate has for itself:
// refusals that linger, avoided addresses, names as last looked up, the order of clients.

import { test } from 'tap'
import { runAgain } from '../support/smoke.ts'

const smoke = [
  'gate-access',
  'gate-probes',
  'gate-reload-every-key',
  'h2-requests-go-on-as-http-1',
  'http-drain-finishes-what-is-in-flight',
  'http-headers-are-cleaned-and-kept',
  'tls-alpn',
  'tls-client-certificate-reload',
  'websocket-close-codes-are-logged',
  'websocket-echo',
]

test('what one gate does two workers do', { timeout: 300_000 }, (t) => runAgain(t, smoke, { WORKERS: '2' }))
