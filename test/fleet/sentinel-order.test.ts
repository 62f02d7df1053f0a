import { test } from 'tap'
import { SentinelOrder } from '../../src/fleet/sentinel-order.ts'

const [one, two, three] = ['one', 'two', 'three'].map((host) => ({ host, port: 26_379 })) as [
  Sentinel,
  Sentinel,
  Sentinel,
]
interface Sentinel {
  host: string
  port: number
}

test('a sentinel that has been asked is the last to be asked again', (t) => {
  const order = new SentinelOrder([one, two, three])
  order.asked({ ...one })
  t.same(order.all, [two, three, one])
  order.asked({ ...two })
  t.same(order.all, [three, one, two])
  t.end()
})

test('one whose server has answered is the first', (t) => {
  const order = new SentinelOrder([one, two, three])
  order.asked({ ...one })
  order.asked({ ...two })
  order.proved({ ...two })
  t.same(order.all, [two, three, one])
  t.end()
})

test('one that only others know changes nothing', (t) => {
  const order = new SentinelOrder([one, two])
  order.asked({ ...one, port: 1 })
  order.proved({ ...two, host: 'four' })
  t.same(order.all, [one, two])
  t.end()
})
