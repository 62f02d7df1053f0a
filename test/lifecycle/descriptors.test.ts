import { readFileSync } from 'node:fs'
import { test } from 'tap'
import {
  connectionsThatFit,
  descriptorLimit,
  RESERVED,
  RESERVED_FOR_A_WORKER,
} from '../../src/lifecycle/descriptors.ts'

test('a connection takes two descriptors, and a reserve is kept', (t) => {
  t.equal(connectionsThatFit(1024), (1024 - RESERVED) / 2)
  t.equal(connectionsThatFit(RESERVED + 2), 1)
  t.equal(connectionsThatFit(RESERVED + 3), 1, 'half a connection is none')
  t.equal(connectionsThatFit(RESERVED + 4), 2)
  t.end()
})

test('several workers need descriptors of their own, and each a socket for each listener', (t) => {
  const alone = connectionsThatFit(1024, { workers: 1, listeners: 4 })
  t.equal(alone, connectionsThatFit(1024))
  const four = connectionsThatFit(1024, { workers: 4, listeners: 4 })
  t.equal(alone - four, (4 * (RESERVED_FOR_A_WORKER + 4)) / 2)
  t.end()
})

test('at least one connection fits, however low the limit', (t) => {
  for (const limit of [0, 1, RESERVED, RESERVED + 1]) t.equal(connectionsThatFit(limit), 1)
  t.end()
})

test('without a limit any number fits', (t) => {
  t.equal(connectionsThatFit(Infinity), Infinity)
  t.end()
})

test('the limit is the soft one that the system tells', (t) => {
  const soft = /Max open files\s+(\S+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  t.equal(descriptorLimit(), soft === 'unlimited' ? Infinity : Number(soft))
  t.end()
})
