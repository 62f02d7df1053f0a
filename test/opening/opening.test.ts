import { test } from 'tap'
import { noOwner } from '../../src/admission/refusal.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Observer } from '../../src/core/connection.ts'
import { fixed } from '../../src/core/live.ts'
import { invariant } from '../../src/core/errors.ts'
import { calm } from '../../src/core/strain.ts'
import { Opening } from '../../src/opening/opening.ts'
import type { OpeningSteps } from '../../src/opening/steps.ts'
import { dialogue } from '../pair/memory-pair.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'
import { setUp, target } from '../upstream/parts.ts'
import { addressOf } from '../support/addresses.ts'

const off = Number.POSITIVE_INFINITY
const NOTHING = Buffer.alloc(0)
const observer = { onOpened() {}, onConnected() {} } as unknown as Observer
const pairOptions = {
  buffers: { highBytes: 65_536, lowBytes: 32_768, readBytes: 16_384 },
  deadlines: fixed({
    idleMs: off,
    clientIdleMs: off,
    upstreamIdleMs: off,
    writeMs: off,
    halfCloseMs: off,
    lifetimeMs: off,
    lifetimeJitter: 0,
    closeMs: 1000,
  }),
  tcpKeepAliveMs: off,
}

const broken = (): never => {
  invariant(false, 'a broken invariant')
  throw new Error('not reached')
}

function open(steps: Partial<OpeningSteps>) {
  const { clock, sweep, upstream: service } = setUp([target(1)])
  const connection = new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), clock.now())
  const client = new MemoryEndpoint('client', noOwner)
  const upstream = new MemoryEndpoint('upstream', noOwner)
  const closed: Connection[] = []
  const context = {
    clock,
    sweep,
    random: () => 0,
    strain: calm(),
    observer,
    onClosed: (ended: Connection) => void closed.push(ended),
  }
  const dial = {
    read: { readBytes: 16_384, usesSharedBuffer: false },
    noDelay: true,
    from: null,
    secure: null,
  }
  const nothing = {
    onClientBytes() {},
    onClientEnd() {},
    onDialled() {},
    onUpstreamBytes() {},
    answer: () => null,
  }
  const opening = new Opening(connection, client, {
    options: { upstream: service, dial, pair: pairOptions, proxyProtocol: null },
    context,
    steps: { ...nothing, ...steps },
  })
  /** The upstream accepts, and may send. */
  const accept = (): void => {
    upstream.owner = opening
    opening.onDialled(upstream, 1)
    if (!upstream.isClosed) upstream.resume()
  }
  return { clock, sweep, connection, client, upstream, closed, opening, accept }
}

type Open = ReturnType<typeof open>

const breaks: { where: keyof OpeningSteps; trigger: (it: Open) => void; hasUpstream: boolean }[] = [
  { where: 'onClientBytes', trigger: ({ client }) => client.feed('x'), hasUpstream: false },
  { where: 'onClientEnd', trigger: ({ client }) => client.fin(), hasUpstream: false },
  { where: 'onDialled', trigger: ({ accept }) => accept(), hasUpstream: true },
  {
    where: 'onUpstreamBytes',
    trigger({ accept, upstream }) {
      accept()
      upstream.feed('x')
    },
    hasUpstream: true,
  },
]

for (const { where, trigger, hasUpstream } of breaks) {
  test(`an invariant that breaks in ${where} ends this connection alone with internal_error`, async (t) => {
    const it = open({ [where]: broken })
    let others = 0
    it.sweep.add({ sweep: () => void (others += 1) })
    trigger(it)
    await it.clock.pass(1000)
    t.match(it.connection.end, { reason: 'internal_error', side: 'sidegate', detail: 'a broken invariant' })
    t.same(
      [it.client.gotReset, it.upstream.gotReset, it.closed.length, it.sweep.size],
      [true, hasUpstream, 1, 1],
    )
    t.ok(others > 0, 'the sweep went on to the others')
  })
}

test('a client is told of internal_error where the protocol has words for it', async (t) => {
  const it = open({ onClientBytes: broken, answer: ({ reason }) => Buffer.from(reason) })
  it.client.feed('x')
  await it.clock.pass(0)
  t.equal(it.client.got.toString(), 'internal_error')
  it.client.fin()
  await it.clock.pass(0)
  t.equal(it.closed.length, 1)
})

test('an invariant that breaks behind the making of the pair ends the pair with internal_error', async (t) => {
  const it = open({ onDialled: (opening) => opening.pair(dialogue({}), NOTHING, broken) })
  it.accept()
  await it.clock.pass(1000)
  t.match(it.connection.end, { reason: 'internal_error', detail: 'a broken invariant' })
  t.same([it.client.gotReset, it.upstream.gotReset, it.closed.length, it.sweep.size], [true, true, 1, 0])
})

test('an invariant that breaks in the making of the pair ends both sides with internal_error', async (t) => {
  const it = open({
    onDialled: (opening) => opening.pair(null, NOTHING, undefined, { options: pairOptions, wrap: broken }),
  })
  it.accept()
  await it.clock.pass(1000)
  t.match(it.connection.end, { reason: 'internal_error', detail: 'a broken invariant' })
  t.same([it.client.gotReset, it.upstream.gotReset, it.closed.length, it.sweep.size], [true, true, 1, 0])
})

test('what is no broken invariant is not taken for one', async (t) => {
  const it = open({
    onDialled() {
      throw new TypeError('another bug')
    },
  })
  t.throws(() => it.accept(), { message: 'another bug' })
  t.equal(it.connection.end, null)
})
