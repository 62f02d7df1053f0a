// What a peer is owed when its pair is ended, and whether it has got it when the pair is gone (`isCut`).

import { test } from 'tap'
import type { Test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { dialogue, memoryPair } from './memory-pair.ts'
import type { MemoryPair, MemoryPairOptions } from './memory-pair.ts'

const drain = makeClose('drain', 'sidegate', 'relay')

interface Case {
  options?: MemoryPairOptions
  /** Before the drain ends the pair. */
  before: (it: MemoryPair) => unknown
  close?: typeof drain
  /** After it. */
  after?: (it: MemoryPair) => unknown
  /** A drain ends those first that are owed nothing. */
  isOwed?: boolean
  isCut: boolean
}

/** The service has sent all and ended; the kernel has taken it, and holds it for the client. */
function whole({ client, upstream }: MemoryPair): void {
  client.inKernel = 100
  upstream.feed('x'.repeat(1000))
  upstream.fin()
}

function takesAll({ client }: MemoryPair): void {
  client.inKernel = 0
  client.take(1_000_000)
  client.fin()
}

const cases: Record<string, Case> = {
  'nobody has said anything': { before: () => {}, isCut: false },
  'the client has said the last word': { before: ({ client }) => client.feed('?'), isCut: true },
  'the service has, and the client has taken it': {
    before: ({ upstream }) => upstream.feed('!'),
    isCut: false,
  },
  'the client has ended, and waits for an answer': { before: ({ client }) => client.fin(), isCut: true },
  'the service has ended, and the client takes what the kernel holds': {
    before: whole,
    after: takesAll,
    isOwed: true,
    isCut: false,
  },
  'the same, though the client has said the last word': {
    before: (it) => {
      whole(it)
      it.client.feed('thanks')
    },
    after: takesAll,
    isCut: false,
  },
  'the same, and the client resets': { before: whole, after: ({ client }) => client.rst(), isCut: true },
  'the same, and the client takes nothing': { before: whole, isCut: true },
  'the same, at the end of the time': {
    before: whole,
    close: makeClose('drain_timeout', 'sidegate', 'relay'),
    isCut: true,
  },
  'the service has ended, and the client still speaks': {
    before: whole,
    after: (it) => {
      it.client.feed('more')
      takesAll(it)
    },
    isCut: true,
  },
  'bytes wait for the client, which takes them': {
    options: { clientTakes: 0 },
    before: ({ upstream }) => upstream.feed('!'),
    after: takesAll,
    isCut: false,
  },
  'the same, and the service speaks again': {
    options: { clientTakes: 0 },
    before: ({ upstream }) => upstream.feed('!'),
    after: (it) => {
      it.upstream.feed('!')
      takesAll(it)
    },
    isCut: true,
  },
  'bytes wait for the service, which takes them, and the client waits for its answer': {
    options: { upstreamTakes: 0 },
    before: ({ client }) => client.feed('?'),
    after: (it) => {
      it.upstream.take(1)
      takesAll(it)
    },
    isCut: true,
  },
  'messages wait for the client, which takes them': {
    options: { clientTakes: 0, dialogue: dialogue() },
    before: ({ upstream }) => upstream.feed('!'),
    after: takesAll,
    isCut: false,
  },
  'so many that the service is not read': {
    options: { clientTakes: 0, dialogue: dialogue() },
    before: ({ upstream }) => upstream.feed('x'.repeat(100_000)),
    after: takesAll,
    isCut: true,
  },
  'so many that the service was not read before its end': {
    options: { clientTakes: 0, dialogue: dialogue() },
    before: ({ upstream }) => {
      upstream.feed('x'.repeat(65_536))
      upstream.fin()
    },
    after: takesAll,
    isCut: true,
  },
  'a message is not complete': {
    options: { dialogue: dialogue({ isOwing: (half) => half.direction === 'to_client' }) },
    before: ({ upstream }) => upstream.feed('!'),
    after: takesAll,
    isCut: true,
  },
  'a last answer waits for the client, which takes it': {
    options: { clientTakes: 0, dialogue: dialogue({ isAtRest: true }) },
    before: ({ upstream }) => upstream.feed('!'),
    after: takesAll,
    isCut: false,
  },
  'an answer is under way': {
    options: { dialogue: dialogue({ isAtRest: false }) },
    before: ({ upstream }) => upstream.feed('!'),
    after: takesAll,
    isCut: true,
  },
  'an HTTP client that waits for nothing has ended': {
    options: { dialogue: dialogue({ isAtRest: true, onSourceEnd: () => 'kept' }) },
    before: ({ client }) => client.fin(),
    isOwed: false,
    isCut: false,
  },
}

for (const [title, { options, before, close = drain, after, isOwed, isCut }] of Object.entries(cases))
  test(`a drain ends a pair: ${title}`, async (t: Test) => {
    const it = memoryPair({ closeMs: 2000, ...options })
    await before(it)
    await it.clock.pass(500)
    it.client.measure()
    await it.clock.pass(0)
    if (isOwed !== undefined) t.equal(it.pair.isOwed(), isOwed)
    it.pair.close(close)
    await it.clock.pass(0)
    await after?.(it)
    it.upstream.fin()
    await it.clock.pass(10_000)
    t.equal(it.closed.length, 1)
    t.equal(it.connection.isCut, isCut)
  })
