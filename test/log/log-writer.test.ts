import { test } from 'tap'
import type { Destination } from '../../src/log/destination.ts'
import { LogWriter } from '../../src/log/log-writer.ts'
import { fakeClock } from '../support/fake-clock.ts'

interface Scripted extends Destination {
  batches: string[]
  finish(error?: Error): void
}

function scripted(): Scripted {
  let waiting: ((error: Error | null) => void) | null = null
  return {
    batches: [],
    write(batch, done) {
      if (waiting !== null) throw new Error('two batches at a time')
      this.batches.push(batch)
      waiting = done
    },
    finish(error) {
      const done = waiting
      waiting = null
      done?.(error ?? null)
    },
  }
}

function setUp(options: { maxBytes?: number; destination?: Destination } = {}) {
  const clock = fakeClock()
  const destination = scripted()
  const formatDropped = (count: number) => `${count} log lines dropped\n`
  const writer = new LogWriter({ clock, destination, formatDropped, ...options })
  return { clock, destination, writer }
}

const noSpace = new Error('ENOSPC')

test('lines that come while a batch is written go out together, in order', async (t) => {
  const { writer, destination } = setUp()
  writer.write('one\n')
  writer.write('two\n')
  writer.write('three\n')
  destination.finish()
  destination.finish()
  t.same(destination.batches, ['one\n', 'two\nthree\n'])
  t.equal(writer.queuedBytes, 0)
})

test('a batch is at most 64 KiB unless one line is longer', async (t) => {
  const { writer, destination } = setUp()
  writer.write('first\n')
  const line = `${'x'.repeat(40_000)}\n`
  for (let index = 0; index < 3; index++) writer.write(line)
  writer.write(`${'y'.repeat(100_000)}\n`)
  for (let index = 0; index < 5; index++) destination.finish()
  t.same(
    destination.batches.map((batch) => batch.length),
    [6, 40_001, 40_001, 40_001, 100_001],
  )
})

test('a stalled destination costs the bound and no more; the gap is told where it is', async (t) => {
  const { writer, destination } = setUp({ maxBytes: 100 })
  for (let index = 0; index < 50; index++) writer.write(`line ${String(index).padStart(3, '0')}\n`)
  t.equal(writer.queuedBytes, 99)
  t.equal(writer.dropped, 39)
  t.equal(destination.batches.length, 1)
  destination.finish()
  destination.finish()
  writer.write('after\n')
  destination.finish()
  const lines = destination.batches.join('').trimEnd().split('\n')
  t.same(lines.slice(-3), ['line 010', '39 log lines dropped', 'after'])
  t.equal(lines.length, 13)
})

test('short lines do not slip in behind a dropped one', async (t) => {
  const { writer, destination } = setUp({ maxBytes: 20 })
  writer.write('0123456789\n')
  writer.write('too long for the rest\n')
  writer.write('short\n')
  destination.finish()
  destination.finish()
  t.same(destination.batches, ['0123456789\n', '2 log lines dropped\n'])
})

test('one line that is larger than the bound is dropped and told, and the log goes on', async (t) => {
  const { writer, destination } = setUp({ maxBytes: 30 })
  writer.write(`${'x'.repeat(50)}\n`)
  destination.finish()
  writer.write('next\n')
  t.same(destination.batches, ['1 log lines dropped\n', 'next\n'])
})

test('a failing destination loses its batch, is left alone for a while, and the loss is told when it recovers', async (t) => {
  const { writer, destination, clock } = setUp()
  writer.write('one\n')
  writer.write('two\n')
  destination.finish(noSpace)
  t.equal(writer.dropped, 1)
  t.equal(destination.batches.length, 1, 'no try at once')
  await clock.pass(250)
  writer.write('three\n')
  destination.finish(noSpace)
  t.equal(writer.dropped, 3, 'the line that tells of a loss is not a lost line')
  await clock.pass(250)
  writer.write('four\n')
  destination.finish(noSpace)
  await clock.pass(250)
  writer.write('five\n')
  destination.finish()
  const told = [
    '\n1 log lines dropped\ntwo\nthree\n',
    '\n3 log lines dropped\nfour\n',
    '\n4 log lines dropped\nfive\n',
  ]
  t.same(destination.batches, ['one\n', ...told])
})

test('a destination that throws or answers twice does no harm', async (t) => {
  const throwing: Destination = {
    write() {
      throw new Error('no')
    },
  }
  const { writer } = setUp({ destination: throwing })
  writer.write('one\n')
  t.equal(writer.dropped, 1)
  const twice: Destination = {
    write(_batch, done) {
      done(null)
      done(null)
    },
  }
  const other = setUp({ destination: twice }).writer
  other.write('one\n')
  other.write('two\n')
  t.equal(other.queuedBytes, 0)
})

test('flush resolves when all is written', async (t) => {
  const { writer, destination, clock } = setUp()
  await writer.flush(1000)
  writer.write('one\n')
  let isDone = false
  const flushed = writer.flush(1000).then(() => (isDone = true))
  await clock.pass(500)
  t.notOk(isDone)
  destination.finish()
  await flushed
  t.equal(clock.armed.after, 0)
})

test('flush gives up on a stalled destination after its time', async (t) => {
  const { writer, clock } = setUp()
  writer.write('one\n')
  let isDone = false
  void writer.flush(1000).then(() => (isDone = true))
  await clock.pass(999)
  t.notOk(isDone)
  await clock.pass(1)
  t.ok(isDone)
})

test('flush does not wait for the rest after a failure', async (t) => {
  const { writer, destination } = setUp()
  writer.write('one\n')
  destination.finish(noSpace)
  writer.write('two\n')
  const flushed = writer.flush(1000)
  destination.finish(noSpace)
  await flushed
  t.equal(writer.dropped, 2)
})
