import { test } from 'tap'
import { pattern, sha256, Verifier } from './bytes.ts'

test('a pattern is the same each time, and is not the pattern of another seed', (t) => {
  t.ok(pattern(1000, 1).equals(pattern(1000, 1)))
  t.notOk(pattern(1000, 1).equals(pattern(1000, 2)))
  t.end()
})

test('a pattern can be made from any offset', (t) => {
  const whole = pattern(300_000, 3)
  for (const at of [0, 1, 65_520, 65_521, 65_522, 200_001]) {
    t.ok(pattern(90_000, 3, at).equals(whole.subarray(at, at + 90_000)))
  }
  t.end()
})

test('a pattern uses every byte value', (t) => {
  t.equal(new Set(pattern(10_000)).size, 256)
  t.end()
})

test('a verifier accepts its stream in any pieces', (t) => {
  const verifier = new Verifier(5)
  const bytes = pattern(200_000, 5)
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 3) % 7001) {
    size = Math.max(size, 1)
    verifier.write(bytes.subarray(at, at + size))
  }
  t.equal(verifier.problem(200_000), null)
  t.equal(verifier.problem(200_001), '200000 bytes, not 200001')
  t.end()
})

test('a verifier names the first byte that is lost, doubled or changed', (t) => {
  const bytes = pattern(400_000, 1)
  const changed = Buffer.from(bytes)
  changed[777]! ^= 1
  for (const [what, at, stream] of [
    ['changed', 777, changed],
    ['lost', 1000, Buffer.concat([bytes.subarray(0, 1000), bytes.subarray(66_536)])],
    ['a lost period', 1000, Buffer.concat([bytes.subarray(0, 1000), bytes.subarray(66_521)])],
    ['doubled', 131_072, Buffer.concat([bytes.subarray(0, 131_072), bytes.subarray(65_536)])],
  ] as const) {
    const verifier = new Verifier(1)
    verifier.write(stream)
    t.ok(verifier.wrong !== null && verifier.wrong.at >= at && verifier.wrong.at < at + 8, what)
  }
  t.end()
})

test('sha256 of pieces is that of the whole', (t) => {
  t.equal(sha256('a', Buffer.from('bc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  t.end()
})
