// The pairs of rules and of what can meet them, each with the test that holds it. A rule that is new gets its row here, and a test for each
// column that can meet it; crossings.test.ts looks whether the files exist and speak of both. What has no test is said: a reason, or OPEN.

/** Nobody has written it. */
export const OPEN = 'open'

/** Each column, and the words by which a test that meets it is known. */
export const columns = {
  transports: /forEachTransport/,
  'HTTP/2': /h2|http2|grpc/i,
  reload: /reload/,
  drain: /drain/,
  'memory runs short': /memory:|overloaded|useUp/,
  workers: /workers/,
  fleet: /scope: fleet|scope:/,
} as const
export type Column = keyof typeof columns

export interface Row {
  /** The words by which a test of the rule is known. */
  words: RegExp
  /** In the order of the columns: files of test/wire, `system/` before those of test/system; or `-` and a reason; or OPEN. */
  cells: readonly string[]
}

const SAME_PAIR = '- the pair of a worker is that of a gate'
const NO_LIMIT = '- no limit'

export const rows: Readonly<Record<string, Row>> = {
  'deadlines.write, and slow readers': {
    words: /write: |slow|unread|sip/,
    cells: [
      'innocents-that-read-slowly',
      'h2-windows-are-shared',
      'gate-drain-tcp-waits',
      'gate-drain-counts-what-is-lost',
      'control-traffic-and-overload',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'deadlines.idle, clientIdle, upstreamIdle': {
    words: /[iI]dle/,
    cells: [
      'innocents-that-read-from-the-kernel',
      'h2-streams-are-judged-as-requests-are',
      'http-an-answer-that-stalls-ends',
      'h2-carries-websockets',
      'h2-when-memory-runs-short',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'heads that trickle in': {
    words: /trickle/,
    cells: [
      '- heads are of HTTP',
      'h2-heads-that-trickle',
      '- the deadline is read live: gate-reload-deadlines has it',
      '- a drain waits for no head longer than its deadline',
      '- heads that are not whole count among early bytes',
      '- a head is in the thread of its connection',
      NO_LIMIT,
    ],
  },
  'heads, kept as long as they are of use': {
    words: /heads? /,
    cells: [
      '- heads are of HTTP',
      'http-heads-do-not-outlive-their-use',
      '- a reload keeps nothing of a request',
      '- a drain keeps nothing of a request',
      '- no limit: it is what idle clients do not take',
      '- a head is in the thread of its connection',
      NO_LIMIT,
    ],
  },
  'deadlines.close, and the last bytes': {
    words: /close: |isWhole|finish\(/,
    cells: [
      'ends-what-was-accepted-arrives',
      'ends-that-wait-for-a-pausing-reader',
      'gate-sweeps-are-apart',
      'gate-drain-counts-what-is-lost',
      'gate-timeline-of-ends-of-ours',
      'workers-are-one-gate',
      NO_LIMIT,
    ],
  },
  'deadlines.halfClose': {
    words: /half|finish\(/i,
    cells: [
      'innocents-that-are-quiet',
      'ends-that-wait-for-a-pausing-reader',
      'gate-reload',
      'tcp-half-close-waits-for-a-slow-reader',
      'deadlines-beside-overload',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'deadlines.request and response': {
    words: /response: |request: |re(quest|sponse)_timeout/,
    cells: [
      'innocents-that-read-from-the-kernel',
      'h2-streams-are-judged-as-requests-are',
      'http-an-answer-that-stalls-ends',
      'h2-services-that-stall',
      'deadlines-beside-overload',
      'workers-ask-h2c-services',
      NO_LIMIT,
    ],
  },
  'deadlines.lifetime': {
    words: /lifetime/,
    cells: [
      'a-lifetime-ends-every-transport',
      'grpc-calls-that-last',
      'websocket-closing-handshake',
      'websocket-closing-handshake',
      'deadlines-beside-overload',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'websocket.ping, and control traffic': {
    words: /ping/i,
    cells: [
      'websocket-pings-spare-the-living',
      'control-traffic-is-no-progress',
      'websocket-services-that-fall-at-a-ping',
      'websocket-pings-spare-the-living',
      'control-traffic-and-overload',
      SAME_PAIR,
      '- pings are no messages',
    ],
  },
  'limits.bytes': {
    words: /bytes: \{/,
    cells: [
      'a-flood-arrives-whole',
      'h2-least-rates',
      'gate-drain-tcp-waits',
      'http-drain-finishes-what-is-in-flight',
      'gate-timeline-of-ends-of-ours',
      'workers-share-rates',
      'system/fleet-streams',
    ],
  },
  'limits.messages': {
    words: /messages: \{/,
    cells: [
      'websocket-pings-and-messages-cross',
      'h2-carries-websockets',
      'clients-behind-an-ingress',
      'limits-messages',
      'messages-that-wait-and-overload',
      'workers-share-rates',
      'system/fleet-messages',
    ],
  },
  'limits.minRate': {
    words: /minRate/,
    cells: [
      'limits-min-rate-on-every-transport',
      'h2-least-rates',
      'h2-streams-are-judged-as-requests-are',
      'min-rate-and-a-drain',
      'workers-share-memory',
      'workers-share-memory',
      '- of one connection',
    ],
  },
  'limits.newConnections': {
    words: /newConnections/,
    cells: [
      'clients-behind-an-ingress',
      'h2-connections-under-limits',
      'limits-new-connections-and-reloads',
      'limits-new-connections',
      'limits-beside-overload',
      'workers-share-rates',
      'system/fleet-waits-outlast-a-reload',
    ],
  },
  'limits.connectionsPerClient': {
    words: /connectionsPerClient/,
    cells: [
      'clients-behind-an-ingress',
      'h2-connections-under-limits',
      'limits-per-client-who-is-asked-to-go',
      'clients-behind-an-ingress',
      'limits-beside-overload',
      'workers-share-limits',
      'system/fleet-reload',
    ],
  },
  'spare places, which a gate of a fleet holds and others wait for': {
    words: /spare places/,
    cells: [
      '- counted by connections, whatever they speak',
      '- counted by connections, whatever they speak',
      'system/fleet-reload-spare-places',
      '- a gate that ends gives all of its places back',
      '- a place is no memory',
      '- one of several workers speaks to Redis as a gate of its own',
      'system/fleet-within-max',
    ],
  },
  'clients beyond the lease of their gate that wait for a late answer of Redis': {
    words: /late answer/,
    cells: [
      '- newcomers, requests and messages: the test of HTTP/2 has each of them',
      'system/fleet-a-late-answer',
      'system/fleet-a-late-answer',
      'system/fleet-a-late-answer',
      'system/fleet-a-late-answer',
      '- each worker has a circuit of its own, as a gate has',
      'system/fleet-a-late-answer',
    ],
  },
  'a client at its limit that comes back for a connection which has come to its end': {
    words: /asked to go|before the next|comes back/,
    cells: [
      '- counted by connections, whatever they speak; http and tcp have tests',
      'limits-per-client-who-is-asked-to-go',
      'limits-per-client-who-is-asked-to-go',
      'limits-per-client-who-is-asked-to-go',
      'limits-per-client-who-comes-back',
      'limits-per-client-who-comes-back',
      '- a fleet is asked before such a client is refused',
    ],
  },
  'limits.connections and connectionsPerClient that only observe': {
    words: /mode: (observe|\$\{mode\})/,
    cells: [
      'clients-behind-an-ingress',
      'limits-per-client-observed',
      'limits-per-client-observed',
      '- a drain refuses nobody for its client',
      '- a place is no memory',
      'limits-per-client-observed',
      'system/fleet-observe',
    ],
  },
  'upstream.maxConnections, and its queue': {
    words: /maxConnections/,
    cells: [
      'upstream-that-restarts',
      'workers-ask-h2c-services',
      'gate-reload-serves-who-waits-for-a-place',
      'workers-ask-h2c-services',
      'limits-beside-overload',
      'workers-share-limits',
      '- of one gate',
    ],
  },
  'websocket.slowConsumer': {
    words: /slowConsumer/,
    cells: [
      'websocket-pings-and-messages-cross',
      'h2-slow-consumers',
      'gate-reload-deadlines',
      'websocket-pings-spare-the-living',
      'messages-that-wait-and-overload',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'the rest of a request that is answered': {
    words: /early|before the upload/i,
    cells: [
      '- of plain HTTP alone',
      'h2-early-answers-arrive',
      'http-clients-that-write-first-read-their-answer',
      'http-clients-that-write-first-read-their-answer',
      'http-clients-that-write-first-read-their-answer',
      'http-clients-that-write-first-read-their-answer',
      NO_LIMIT,
    ],
  },
  'bytes behind a whole answer': {
    words: /more than a whole answer/,
    cells: [
      '- of plain HTTP alone',
      'http-a-late-body-reaches-nobody-else',
      'http-a-late-body-reaches-nobody-else',
      '- a drain changes nothing of kept connections',
      '- they hold nothing that waits',
      'workers-share-strays',
      NO_LIMIT,
    ],
  },
  'drain.tcp, and connections that cannot be asked': {
    words: /tcp: spread|tcp waits|query/,
    cells: [
      '- of tcp alone',
      '- of tcp alone',
      'gate-reload-tcp-waits',
      'gate-drain-tcp-waits',
      '- what ends for memory is not asked',
      'gate-reload-tcp-waits',
      NO_LIMIT,
    ],
  },
  'early bytes': {
    words: /early|wait for their upstream/i,
    cells: [
      'upstream-that-restarts',
      '- a stream begins with its head',
      'upstream-addresses-that-are-gone',
      'system/process-drain-and-reload',
      'gate-overloaded-refuses-new-work',
      'workers-share-early-bytes',
      'system/fleet-early-bytes',
    ],
  },
  'heads that wait for a place': {
    words: /heads that wait/,
    cells: [
      '- heads are of HTTP: the test of HTTP/2 has requests and upgrades, too',
      'heads-that-wait-for-a-place',
      'heads-that-wait-for-a-place',
      'heads-that-wait-for-a-place',
      'heads-that-wait-for-a-place',
      'heads-that-wait-for-a-place',
      '- of one gate',
    ],
  },
  'clients that leave while they wait, and are not read': {
    words: /that leave unread|not read/,
    cells: [
      '- the test has the ways that differ: tcp, tls and unix sockets, for tcp, requests and upgrades',
      'clients-that-leave-unread',
      'clients-that-leave-unread',
      'clients-that-leave-unread',
      '- what is not read for want of memory is the rule itself',
      'clients-that-leave-unread',
      NO_LIMIT,
    ],
  },
  'memory that streams claim': {
    words: /claim/,
    cells: [
      '- of HTTP/2 alone',
      'h2-streams-claim-their-memory',
      '- the room is that of the process, whatever its configuration',
      '- streams that begin in a drain claim as others do',
      'h2-streams-claim-their-memory',
      'workers-share-claims',
      NO_LIMIT,
    ],
  },
  'PROXY headers': {
    words: /proxyProtocol/,
    cells: [
      'clients-behind-an-ingress',
      'h2-streams-are-judged-as-requests-are',
      'gate-reload-serves-who-is-there',
      'gate-proxy-protocol',
      'workers-share-early-bytes',
      'workers-share-early-bytes',
      'system/fleet-newcomers',
    ],
  },
  'http.trustForwarded': {
    words: /trustForwarded/i,
    cells: [
      'clients-behind-an-ingress',
      'h2-connections-under-limits',
      'clients-behind-an-ingress',
      'clients-behind-an-ingress',
      'limits-beside-overload',
      'workers-share-clients',
      'system/fleet-named-clients',
    ],
  },
  'http.trustForwarded: [private], and unix sockets': {
    words: /unix socket/,
    cells: [
      '- of HTTP alone',
      'clients-behind-a-proxy-on-a-unix-socket',
      'clients-behind-a-proxy-on-a-unix-socket',
      '- a drain judges no peer anew',
      '- refused before anybody is named',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  '`TE: trailers`, and Trailer': {
    words: /trailers/i,
    cells: [
      '- of HTTP alone',
      'h2-requests-go-on-as-http-1',
      '- words of one request, by which a reload changes nothing',
      '- words of one request, by which a drain changes nothing',
      '- they hold nothing that waits',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'http.lenient, and subprotocols that were not offered': {
    words: /subprotocol/,
    cells: [
      '- of WebSocket alone',
      'h2-carries-websockets',
      '- an upgrade is judged by what it began with',
      '- words of one upgrade, by which a drain changes nothing',
      '- they hold nothing that waits',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'resumed TLS sessions of clients with certificates': {
    words: /resum(e|ing)/,
    cells: [
      '- of TLS alone',
      'tls-client-certificate',
      'tls-client-certificate',
      '- a handshake, which a drain does not judge',
      '- a handshake, which is refused as others are',
      'workers-ask-for-certificates',
      NO_LIMIT,
    ],
  },
  'another address, another attempt': {
    words: /retryFor|addresses: \[|nghttpd/,
    cells: [
      'upstream-that-restarts',
      'system/h2-a-service-that-stands-still',
      'upstream-that-restarts',
      'upstream-that-restarts',
      'h2-when-memory-runs-short',
      'workers-ask-once',
      NO_LIMIT,
    ],
  },
  'a service that is gone, and clients that keep their connection': {
    words: /is gone|upstream_unhealthy/,
    cells: [
      '- the connection of a tcp or WebSocket client is that to its service',
      'h2-clients-leave-a-service-that-is-gone',
      'h2-clients-leave-a-service-that-is-gone',
      'h2-clients-leave-a-service-that-is-gone',
      '- an answer of its own, before which nothing waits for memory',
      SAME_PAIR,
      NO_LIMIT,
    ],
  },
  'a reload, and clients that keep a busy connection': {
    words: /answer by what it was admitted by/,
    cells: [
      '- of HTTP alone: a tcp client or a WebSocket has one request',
      'gate-reload-moves-busy-clients',
      'gate-reload-moves-busy-clients',
      'gate-reload-moves-busy-clients',
      '- an answer of its own, before which nothing waits for memory',
      'gate-reload-moves-busy-clients',
      NO_LIMIT,
    ],
  },
  healthCheck: {
    words: /healthCheck/,
    cells: [
      'upstream-that-restarts',
      'h2-sessions-end-outside-of-callbacks',
      'gate-reload-keeps-what-was-found',
      'upstream-that-restarts',
      'logins-and-certificates-beside-overload',
      'workers-ask-once',
      NO_LIMIT,
    ],
  },
  'connection-bound logins (NTLM, Negotiate)': {
    words: /NTLM|Negotiate/,
    cells: [
      '- of plain HTTP alone',
      'h2-logged-in-connections-are-nobody-elses',
      'workers-share-clients',
      'logins-outlast-a-drain',
      'logins-and-certificates-beside-overload',
      'workers-share-clients',
      NO_LIMIT,
    ],
  },
  'no descriptor is left': {
    words: /descriptor/,
    cells: [
      '- system/faults-descriptors-on-every-transport has the five that differ in it',
      'system/faults-descriptors-on-every-transport',
      'system/faults-descriptors-and-changes',
      'system/faults-descriptors-and-changes',
      '- memory is judged without a descriptor',
      'system/faults-descriptors-on-every-transport',
      NO_LIMIT,
    ],
  },
  'tls.clientCa': {
    words: /clientCa/,
    cells: [
      '- of TLS alone',
      'h2-streams-are-judged-as-requests-are',
      'tls-client-certificate-reload',
      'tls-handshakes',
      'logins-and-certificates-beside-overload',
      'workers-ask-for-certificates',
      NO_LIMIT,
    ],
  },
  'an end is told once it is decided': {
    words: /recent/,
    cells: [
      'gate-recent',
      '- a stream is gone with its answer',
      'gate-recent',
      'gate-recent',
      '- an end like any other',
      'workers-that-hang-are-named',
      NO_LIMIT,
    ],
  },
}
