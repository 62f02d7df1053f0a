import { test } from 'tap'
import { LocalSum } from '../../src/core/cells.ts'
import { Claims, STREAM_BYTES } from '../../src/core/claims.ts'

/** Two threads that share a sum; the room is for ten streams. */
function setUp() {
  const sum = new LocalSum()
  const clock = { ms: 10_000, now: () => clock.ms }
  const make = (): Claims => {
    const claims = new Claims(sum, clock)
    claims.roomBytes = 10 * STREAM_BYTES
    return claims
  }
  return {
    clock,
    one: make(),
    other: make(),
    /** Streams that all threads claim for. */
    claimed: () => sum.total / STREAM_BYTES,
  }
}

test('each stream that begins claims 64 KiB of what all threads share, and gives it back with its end', (t) => {
  const { one, other, claimed } = setUp()
  one.add(4)
  other.add(5)
  t.same([claimed(), one.bytes], [9, 9 * 65_536])
  t.equal(one.hasRoom, true, 'the tenth fits to the byte')
  one.add(1)
  t.same([one.hasRoom, other.hasRoom], [false, false])
  other.add(-1)
  t.equal(one.hasRoom, true)
  one.add(-5)
  other.add(-4)
  t.equal(claimed(), 0)
  t.end()
})

test('after half a second a stream is in use, and claims nothing more', (t) => {
  const { clock, one, claimed } = setUp()
  one.add(10)
  clock.ms += 250
  t.equal(one.hasRoom, false, 'it may have begun just before the look')
  clock.ms += 250
  t.equal(one.hasRoom, true)
  t.equal(claimed(), 0)
  one.add(3)
  t.equal(claimed(), 3)
  one.add(-3)
  one.add(-10)
  t.equal(claimed(), 0)
  t.end()
})

for (const [ms, claims] of [
  [0, 0],
  [250, 0],
  [2000, 0],
  [2500, 8],
  [60_000, 8],
] as const)
  test(`eight streams that begin ${ms} ms after eight have ended claim for ${claims}`, (t) => {
    const { clock, one, claimed } = setUp()
    one.add(8)
    clock.ms += 500
    one.add(-8)
    clock.ms += ms
    one.add(8)
    t.equal(claimed(), claims)
    one.add(1)
    t.equal(claimed(), claims + 1, 'the ninth')
    t.end()
  })

test('streams that go on through windows without an event are in use in each', (t) => {
  const { clock, one, claimed } = setUp()
  one.add(9)
  clock.ms += 60_000
  one.add(1)
  t.equal(claimed(), 1)
  t.end()
})

test('requests that come and go claim for one at a time', (t) => {
  const { clock, one, claimed } = setUp()
  for (let nth = 0; nth < 1000; nth++) {
    one.add(1)
    t.ok(claimed() <= 1)
    one.add(-1)
    clock.ms += 7
  }
  t.equal(claimed(), 0)
  t.end()
})

test('without a bound there is always room', (t) => {
  const claims = new Claims()
  claims.add(1_000_000)
  t.equal(claims.hasRoom, true)
  t.end()
})
