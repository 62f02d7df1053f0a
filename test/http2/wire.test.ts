// The inner end of a client's connection: the test is the pair on one side of it, and node:http2 on the other.

import { test } from 'tap'
import type { Endpoint, EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { Wire } from '../../src/http2/wire.ts'
import { eventually } from '../support/eventually.ts'

class Owner implements EndpointOwner {
  got = ''
  mayGoOn = true
  closes = 0
  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    this.got += bytes.toString('latin1', 0, length)
    return this.mayGoOn
  }
  onEnd(): void {}
  onProgress(): void {}
  onClosed(): void {
    this.closes++
  }
}

function setUp() {
  const turns: Array<() => void> = []
  const wire = new Wire((run) => void turns.push(run))
  const owner = new Owner()
  wire.owner = owner
  const written: string[] = []
  return {
    wire,
    owner,
    written,
    turn: () => turns.splice(0).forEach((run) => run()),
    /** A write of node:http2, whose memory belongs to another write as soon as it was taken. */
    write(text: string): void {
      const bytes = Buffer.from(text, 'latin1')
      wire.duplex.write(bytes, () => void written.push(text))
    },
    read(): string[] {
      const came: string[] = []
      wire.duplex.on('data', (chunk: Buffer) => came.push(chunk.toString('latin1')))
      return came
    },
  }
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

test('a write before the first resume waits, and Node is asked for no other meanwhile', async (t) => {
  const { wire, owner, write, written } = setUp()
  write('one')
  write('two')
  await turn()
  t.same([owner.got, written], ['', []])
  wire.resume()
  await turn()
  t.same([owner.got, written], ['onetwo', ['one', 'two']])
})

test('writes that are joined and wait are not changed by the next ones', async (t) => {
  const [one, other] = [setUp(), setUp()]
  for (const [{ wire, write }, letters] of [
    [one, 'abc'],
    [other, 'xyz'],
  ] as const) {
    wire.duplex.cork()
    for (const letter of letters) write(letter)
    wire.duplex.uncork()
  }
  one.wire.resume()
  other.wire.resume()
  await turn()
  t.same([one.owner.got, other.owner.got], ['abc', 'xyz'])
})

test('the memory of a write is free once the owner has it, joined or not', async (t) => {
  for (const isJoined of [false, true]) {
    const { wire, owner } = setUp()
    wire.resume()
    const pieces = isJoined ? [Buffer.alloc(20_000), Buffer.alloc(30_000)] : [Buffer.alloc(50_000)]
    wire.duplex.cork()
    for (const piece of pieces) wire.duplex.write(piece)
    wire.duplex.uncork()
    await turn()
    t.equal(owner.got.length, 50_000)
    t.same(new Set(pieces.map(({ length }) => length)), new Set([0]))
  }
})

test('joined writes that are larger than any before arrive whole', async (t) => {
  const { wire, owner, write } = setUp()
  write('a')
  for (let nth = 0; nth < 5; nth++) write(String(nth).repeat(40_000))
  wire.resume()
  await turn()
  t.equal(owner.got, `a${[0, 1, 2, 3, 4].map((nth) => String(nth).repeat(40_000)).join('')}`)
})

test('Node is asked for more only once the client has room', async (t) => {
  const { wire, owner, write, written } = setUp()
  wire.resume()
  owner.mayGoOn = false
  write('one')
  write('two')
  await turn()
  t.same([owner.got, written], ['one', []])
  owner.mayGoOn = true
  wire.resume()
  await turn()
  t.same([owner.got, written], ['onetwo', ['one', 'two']])
})

test('an owner that pauses within its call is not written to before it resumes', async (t) => {
  const { wire, owner, write, written } = setUp()
  wire.resume()
  const { onBytes } = owner
  owner.onBytes = function (...all) {
    wire.pause()
    return onBytes.apply(this, all)
  }
  write('one')
  write('two')
  await turn()
  t.same([owner.got, written], ['one', []])
})

test('a resume without a write that waits asks Node for nothing twice', async (t) => {
  const { wire, owner, write, written } = setUp()
  write('one')
  wire.resume()
  await turn()
  for (let nth = 0; nth < 2; nth++) {
    wire.pause()
    wire.resume()
    await turn()
  }
  write('two')
  await turn()
  t.same([owner.got, written, wire.isClosed], ['onetwo', ['one', 'two'], false])
})

test('an owner that resumes within its call, and then has no room, is not written to', async (t) => {
  const { wire, owner, write, written } = setUp()
  wire.resume()
  const { onBytes } = owner
  owner.mayGoOn = false
  owner.onBytes = function (...all) {
    wire.resume()
    return onBytes.apply(this, all)
  }
  write('one')
  await turn()
  t.same([owner.got, written], ['one', []])
})

test('bytes for a Node that has paused, or is about to go on, are its own', async (t) => {
  const { wire, read } = setUp()
  const came = read()
  await turn()
  const shared = Buffer.alloc(3)
  const write = (text: string): void => {
    shared.write(text, 'latin1')
    wire.write(shared, 0, 3)
    shared.fill('!')
  }
  wire.duplex.pause()
  write('one')
  wire.duplex.resume()
  write('two')
  await turn()
  t.equal(came.join(''), 'onetwo')
})

test('bytes in the turn in which Node begins to read are its own', async (t) => {
  const { wire, read } = setUp()
  const came = read()
  const shared = Buffer.from('one')
  wire.write(shared, 0, 3)
  shared.fill('!')
  await turn()
  t.equal(came.join(''), 'one')
})

test('bytes for Node are its own, read at once or later', async (t) => {
  const { wire, read } = setUp()
  const shared = Buffer.from('??one??')
  wire.write(shared, 2, 5)
  shared.fill('!')
  wire.write(Buffer.from('two'), 0, 3)
  const came = read()
  await turn()
  t.equal(came.join(''), 'onetwo')
  shared.fill('z')
  wire.write(shared, 2, 5)
  shared.fill('!')
  await turn()
  t.equal(came.join(''), 'onetwozzz')
})

test('a close ends the write in progress at once and Node’s socket in a later turn, and its owner hears once', async (t) => {
  const { wire, owner, write, written, turn: later } = setUp()
  wire.resume()
  owner.mayGoOn = false
  write('one')
  await turn()
  wire.close()
  wire.close()
  await turn()
  t.same([written, wire.isClosed, owner.closes], [['one'], false, 0])
  write('late')
  wire.write(Buffer.from('late'), 0, 4)
  await turn()
  t.same([owner.got, written], ['one', ['one', 'late']])
  t.equal(wire.duplex.readableLength, 0)
  later()
  await eventually(() => owner.closes > 0)
  t.ok(wire.isClosed)
  wire.close()
  later()
  await turn()
  t.equal(owner.closes, 1)
})

test('a socket that Node destroys is told of once, with a write that waited or without', async (t) => {
  for (const isWaiting of [false, true]) {
    const { wire, owner, write, written } = setUp()
    if (isWaiting) write('never sent')
    wire.duplex.destroy(new Error('of Node'))
    wire.write(Buffer.from('late'), 0, 4)
    t.same([wire.isClosed, wire.duplex.readableLength], [true, 0])
    t.equal(owner.closes, 0, 'not from within')
    await eventually(() => owner.closes > 0)
    wire.resume()
    wire.close()
    await turn()
    t.same([owner.got, owner.closes, written.length], ['', 1, isWaiting ? 1 : 0])
  }
})

test('a socket that Node ends is gone once its last write was taken', async (t) => {
  const { wire, owner, write, turn: later } = setUp()
  write('last')
  wire.duplex.end()
  await turn()
  later()
  await turn()
  t.same([owner.got, owner.closes], ['', 0])
  wire.resume()
  await turn()
  t.same([owner.got, wire.isClosed], ['last', false])
  later()
  await eventually(() => owner.closes === 1)
})

test('conclude is close: Node has no half to end', async (t) => {
  const { wire, owner, turn: later } = setUp()
  wire.conclude()
  later()
  await eventually(() => owner.closes === 1)
  t.ok(wire.duplex.destroyed)
})
