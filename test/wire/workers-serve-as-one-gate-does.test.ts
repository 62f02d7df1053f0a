// The smoke part of this suite once more, with gates in threads. Left out are files that look into the connections, which are in other
// threads then, and those that count what each gate has for itself: refusals that linger, addresses that are avoided, names as last asked, the order of clients.

import { test } from 'tap'
import { runAgain } from '../support/smoke.ts'

const smoke = [
  'gate-access',
  'gate-probes',
  'gate-reload-every-key',
  'grpc-every-kind-of-call',
  'h2-carries-websockets',
  'h2-requests-go-on-as-http-1',
  'h2-smuggles-nothing-into-http-1',
  'http-drain-finishes-what-is-in-flight',
  'http-headers-are-cleaned-and-kept',
  'http-relays-every-kind',
  'tcp-half-close-still-delivers-the-answer',
  'tls-alpn',
  'tls-client-certificate-reload',
  'websocket-close-codes-are-logged',
  'websocket-echo',
]

test('what one gate does two workers do', { timeout: 300_000 }, (t) => runAgain(t, smoke, { WORKERS: '2' }))
