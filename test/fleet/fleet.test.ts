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
  const gates: unknown[] = []
  let answers = Promise.resolve()
  const answer = ({ script, args }: Command): Array<number | string> => {
    if (script === 'beat') return [3, 1, 'secret']
    if (script === 'draw') return [Number(args[4]), 0]
    return [Number(args[1]) + Number(args[2]) + Number(args[3]), 0, 0]
  }
  const connect = () =>
    Promise.resolve({
      most: 512,
      async run(commands: readonly Command[]) {
        if (commands[0]!.script !== 'beat') batches.push(commands.map(({ key }) => key))
        for (const { script, args } of commands) if (script === 'places') gates.push(args[0])
        await answers
        return commands.map(answer)
      },
      close() {},
    })
  const fleet = new Fleet(options, { clock, random: () => 0.5, connect, observer })
  fleet.start()
  await clock.pass(1)
  const bucket = (name: string, perSec: number) => fleet.bucket(name, { perSec, burst: 100 }, clock.now())
  /** Answers from now on wait for the call of what this returns. */
  const hold = (): (() => void) => {
    const held = Promise.withResolvers<void>()
    answers = held.promise
    return () => held.resolve()
  }
  return { clock, fleet, batches, gates, bucket, hold, connect }
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

test('what comes while a batch is under way goes with the next one, once that has to go', async (t) => {
  const { clock, fleet, batches, bucket, hold } = await plenty()
  const [slow, quick, newcomer] = [bucket('slow', 10), bucket('quick', 100), fleet.count('client')]
  for (const tokens of [slow, quick]) t.ok(tokens.take(1, clock.now()))
  await clock.pass(300)
  batches.length = 0
  const answer = hold()
  t.ok(newcomer.take(5))
  await clock.pass(1)
  t.ok(slow.take(19, clock.now()))
  await clock.pass(10)
  answer()
  await clock.pass(100)
  t.same(batches, [['p:count client']], 'the slow one can wait still')
  t.ok(quick.take(19, clock.now()))
  await clock.pass(100)
  t.same(batches.splice(0), [['p:count client'], ['p:rate slow', 'p:rate quick']])
  const later = hold()
  t.ok(fleet.count('another').take(5))
  await clock.pass(1)
  t.ok(fleet.count('a third').take(5))
  await clock.pass(10)
  later()
  await clock.pass(1)
  t.equal(batches.length, 1, 'some may come beside it')
  await clock.pass(5)
  t.same(batches, [['p:count another'], ['p:count a third']])
  await fleet.stop()
})

test('a Redis that went away with what was asked is asked again when it is back', async (t) => {
  const { clock, fleet, batches, hold } = await plenty()
  const answer = hold()
  t.ok(fleet.count('one').take(5))
  await clock.pass(1)
  t.ok(fleet.count('other').take(5))
  await clock.pass(610)
  t.equal(fleet.mode, 'local')
  answer()
  await clock.pass(2000)
  t.equal(fleet.mode, 'leased')
  batches.length = 0
  t.ok(fleet.count('a third').take(5))
  await clock.pass(1)
  t.same(batches, [['p:count a third']])
  await fleet.stop()
})

test('what a Redis has not answered does not hold up the reports to the next one, which a reload names', async (t) => {
  const { clock, fleet, batches, hold } = await plenty()
  const one = fleet.count('one')
  t.ok(one.take(5))
  await clock.pass(2000)
  const answer = hold()
  t.notOk(one.take(5), 'its spare places went back')
  await clock.pass(1)
  batches.length = 0
  const next: string[][] = []
  const left = fleet.turnTo(options, () =>
    Promise.resolve({
      most: 512,
      run(commands: readonly Command[]) {
        next.push(commands.map(({ script, key, args }) => `${key} ${script === 'beat' ? '' : args[1]}`))
        return Promise.resolve(commands.map(({ script }) => (script === 'beat' ? [3, 1, 'other'] : [5, 0])))
      },
      close() {},
    }),
  )
  await clock.pass(20)
  t.same(next, [['p:gates '], ['p:count one 1']], 'although the first has not answered')
  answer()
  await clock.pass(100)
  await left
  const taken = [1, 2, 3, 4, 5].map(() => one.take(5))
  t.same(taken, [true, true, true, true, false], 'the answer of the second counts')
  await fleet.stop()
})

test('another way to the same Redis gives nothing back; another Redis gets the holdings under another name', async (t) => {
  const { clock, fleet, gates, connect } = await plenty()
  t.ok(fleet.count('one').take(5))
  await clock.pass(2000)
  gates.length = 0
  await fleet.turnTo(options, connect, true)
  await clock.pass(20)
  t.equal(gates.length, 1, 'only the report')
  gates.length = 0
  await fleet.turnTo(options, connect)
  await clock.pass(20)
  t.equal(gates.length, 2, 'what is given back, and the report')
  t.not(gates[0], gates[1])
  await fleet.stop()
})

test('what holds while Redis is away changes without another connection', async (t) => {
  const { clock, fleet, batches, hold } = await plenty()
  t.ok(fleet.count('one').take(5))
  await clock.pass(2000)
  batches.length = 0
  fleet.settle({ timeoutMs: 200, onUnavailable: 'closed' })
  t.equal(fleet.mode, 'leased')
  const answer = hold()
  t.ok(fleet.count('other').take(5))
  await clock.pass(850)
  t.equal(fleet.mode, 'leased', 'the time-out is the new one')
  await clock.pass(100)
  t.equal(fleet.mode, 'closed')
  answer()
  await fleet.stop()
})

test('leases that had to make room are tended again once they are used; those of connections never have to', async (t) => {
  const { clock, fleet, batches, bucket } = await plenty()
  const asked = (key: string): boolean => batches.splice(0).some((keys) => keys.includes(key))
  const [held, count, tokens] = [fleet.count('held'), fleet.count('old'), bucket('old', 10)]
  for (const one of [held, count]) t.ok(one.take(5))
  count.release()
  t.ok(tokens.take(1, clock.now()))
  await clock.pass(100)
  for (let nth = 0; nth < 65_536; nth++) fleet.count(`n${nth}`)
  t.ok(count.take(5))
  t.ok(tokens.take(1, clock.now()))
  t.equal(fleet.size, 65_536)
  batches.length = 0
  await clock.pass(5000)
  t.ok(asked('p:rate old'), 'unused, its tokens go back')
  await clock.pass(5000)
  for (const key of ['p:count old', 'p:count held']) {
    await clock.pass(10_000)
    t.ok(asked(key), `its places are renewed: ${key}`)
  }
  await fleet.stop()
})

test('a lease that was forgotten while it is used asks another Redis under the keys of that one', async (t) => {
  const { clock, fleet, bucket, connect } = await plenty()
  const old = bucket('old', 10)
  t.ok(old.take(1, clock.now()))
  await clock.pass(1000)
  for (let nth = 0; nth < 70_000; nth++) bucket(`n${nth}`, 10)
  const keys: string[] = []
  await fleet.turnTo({ ...options, prefix: 'q:' }, async () => {
    const store = await connect()
    return {
      ...store,
      run(commands: readonly Command[]) {
        keys.push(...commands.map(({ key }) => key))
        return store.run(commands)
      },
    }
  })
  // Two seconds for the reports of all the others.
  await clock.pass(2000)
  for (let nth = 0; nth < 30; nth++) old.take(1, clock.now())
  await clock.pass(20)
  t.ok(keys.includes('q:rate old'), keys.slice(-2).join())
  await fleet.stop()
})
