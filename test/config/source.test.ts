import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'tap'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { checkText } from '../../src/config/load.ts'
import { loadContent, readFile, type Loaded } from '../../src/config/source.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { eventually } from '../support/eventually.ts'

const text = `listeners:
  - { name: app, address: ":17080", protocol: http, upstream: "\${WHERE}", deadlines: { idle: off }, http: { trustForwarded: [10.0.0.0/8] } }
`
const env = { WHERE: '127.0.0.1:8080' }

async function load(file: string, clock: Clock = systemClock): Promise<Loaded> {
  return loadContent(await readFile(file), file, env, clock)
}

/** Processes that this one has started and that still run. */
const children = (): string => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim()

test('a file means what it says, variables, warnings and what is off included', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': text }), 'sidegate.yaml')
  const { outcome, hash } = await load(file)
  t.strictSame(outcome, checkText(text, file, env))
  t.equal(hash, createHash('sha256').update(text).digest('hex').slice(0, 10), 'as sha256sum says')
  await eventually(() => children() === '', { what: 'the process that checked it to be gone' })
})

test('problems of a file have their places', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': text.replace('idle: off', 'idle: 5') }), 'sidegate.yaml')
  const { outcome } = await load(file)
  if (!(outcome instanceof ConfigError)) throw new Error('it was accepted')
  t.equal(outcome.message, `${file}:2:94 listeners[0].deadlines.idle: got 5, write a duration such as 5s`)
})

test('a file that is not there, or is no file, or is no text, is complained of', async (t) => {
  const directory = t.testdir({})
  mkdirSync(join(directory, 'folder'))
  writeFileSync(join(directory, 'binary'), Buffer.from([0x61, 0x3a, 0xff]))
  const complaints = {
    nothing: 'does not exist',
    folder: 'is a directory, not a file',
    binary: 'this line is not UTF-8, save the file as UTF-8',
  }
  for (const [name, message] of Object.entries(complaints))
    t.match((await load(join(directory, name))).outcome, { problems: [{ message }] })
})

test('a hostile file neither stops the event loop nor takes the memory of the pod', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': `${text}x: [${'a,'.repeat(150_000)}]` }), 'sidegate.yaml')
  // The best of three: a machine that stands still for a moment proves nothing about the gate.
  let least = Number.POSITIVE_INFINITY
  for (let tries = 0; tries < 3 && least >= 0.25; tries++) {
    const start = performance.now()
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    const { outcome } = await load(file)
    delay.disable()
    t.match(outcome, {
      problems: [{ message: /^takes more than (64 MiB|5s of CPU) to be checked, write less$/ }],
    })
    const [stoodMs, tookMs] = [delay.max / 1e6, performance.now() - start]
    least = Math.min(least, stoodMs < 400 ? 0 : stoodMs / tookMs)
  }
  t.ok(least < 0.25, `it stood for ${least.toFixed(2)} of the time`)
})

test('a check that takes too long is given up, and its process with it', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': text }), 'sidegate.yaml')
  const { outcome, isUndecided } = await load(file, {
    ...systemClock,
    after: (_ms, run) => systemClock.after(1, run),
  })
  t.match(outcome, { problems: [{ message: 'was not checked in 60s: the machine was too slow' }] })
  t.ok(isUndecided, 'which is no fault of the file')
  await eventually(() => children() === '', { what: 'the process to be gone' })
})

test('a check that somebody ends says so', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': text }), 'sidegate.yaml')
  const loading = load(file)
  await eventually(() => children() !== '', { what: 'the process' })
  process.kill(Number(children()), 'SIGKILL')
  const { outcome, isUndecided } = await loading
  t.match(outcome, { problems: [{ message: 'cannot be checked: the process for it was ended by SIGKILL' }] })
  t.ok(isUndecided, 'which is no fault of the file')
})

test(
  'where memory runs out it is the check that the kernel ends',
  { skip: process.platform === 'linux' ? false : 'the score is one of Linux' },
  async (t) => {
    // One that is given nothing to check stays, so that its score can be seen.
    const check = fork(new URL('../../src/config/check-process.ts', import.meta.url))
    t.teardown(() => check.kill('SIGKILL'))
    await eventually(() => readFileSync(`/proc/${check.pid}/oom_score_adj`, 'utf8').trim() === '1000', {
      what: 'its score',
    })
    check.disconnect()
    await once(check, 'exit')
  },
)

test('where no process can be started, that is the complaint', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': text }), 'sidegate.yaml')
  const { execPath } = process
  t.teardown(() => (process.execPath = execPath))
  process.execPath = join(t.testdirName, 'no-node')
  t.match((await load(file)).outcome, {
    problems: [{ message: /^cannot be checked: a process for it cannot be started \(.*ENOENT/ }],
  })
})
