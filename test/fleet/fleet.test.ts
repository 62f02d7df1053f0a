import { test } from 'tap'
import { Fleet } from '../../src/fleet/fleet.ts'
import type { Command } from '../../src/fleet/store.ts'
import { fakeClock } from '../support/fake-clock.ts'

const options = { prefix: 'p:', timeoutMs: 50, onUnavailable: 'local', plainKeys: true } as const
const observer = { onUp() {}, onDown() {}, onGates() {}, onRequests() {}, onDrawn() {} }

/** A fleet of this gate and two others, in which there is enough of everything. */
async function plenty() {
  const clock = fakeClock()
  const batches: string[][] = []
  const answer = ({ script, args }: Command): Array<number | string> => {
    if (script === 'beat') return [3, 1, 'secret']
    return script === 'draw' ? [Number(args[4]), 0] : [Number(args[2]), 0]
  }
  const connect = () =>
    Promise.resolve({
      run: (commands: readonly Command[]) => {
        if (commands[0]!.script !== 'beat') batches.push(commands.map(({ key }) => key))
        return Promise.resolve(commands.map(answer))
      },
      close() {},
    })
  const fleet = new Fleet(options, { clock, random: () => 0.5, connect, observer })
  fleet.start()
  await clock.pass(1)
  const bucket = (name: string, perSec: number) => fleet.bucket(name, { perSec, burst: 100 }, clock.now())
  return { clock, fleet, batches, bucket }
}

test('what can wait goes out together, when the first of them has to; what cannot takes all others along', async (t) => {
  const { clock, fleet, batches, bucket } = await plenty()
  // A lease is 25: of the slow 6 last for 600 ms, of the quick for 60.
  const [slow, quick] = [bucket('slow', 10), bucket('quick', 100)]
  for (const tokens of [slow, quick]) t.ok(tokens.take(1, clock.now()))
  await clock.pass(300)
  batches.length = 0
  t.ok(slow.take(19, clock.now()))
  await clock.pass(50)
  t.ok(quick.take(19, clock.now()))
  await clock.pass(47)
  t.same(batches, [], 'neither has to be asked for yet')
  await clock.pass(2)
  t.same(batches, [['p:rate slow', 'p:rate quick']])
  batches.length = 0
  t.ok(quick.take(19, clock.now()))
  await clock.pass(40)
  t.ok(slow.take(19, clock.now()))
  await clock.pass(10)
  t.same(batches, [['p:rate quick', 'p:rate slow']], 'one that can wait for longer holds up nobody')
  batches.length = 0
  t.ok(slow.take(19, clock.now()))
  t.ok(fleet.count('client').take(5))
  await clock.pass(1)
  t.same(batches, [['p:rate slow', 'p:count client']], 'who has no lease yet waits for nobody')
  batches.length = 0
  await clock.pass(400)
  t.same(batches, [])
  await fleet.stop()
})
