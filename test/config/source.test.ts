import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import { checkText } from '../../src/config/load.ts'
import { hashFile, loadFile } from '../../src/config/source.ts'
import { ConfigError } from '../../src/errors.ts'
import { eventually } from '../support/eventually.ts'

const small = `listeners:
  - { name: app, address: ":17080", protocol: http, upstream: "\${WHERE}", deadlines: { idle: off }, http: { trustForwarded: [10.0.0.0/8] } }
`
const env = { WHERE: '127.0.0.1:8080' }
const large = `${small}${'# so long that it is checked in a thread of its own\n'.repeat(1000)}`

test('a small file and a large one mean what they say, warnings and variables included', async (t) => {
  for (const [name, text] of [['small', small], ['large', large]] as const) {
    const file = join(t.testdir({ 'sidegate.yaml': text }), 'sidegate.yaml')
    const { outcome, hash } = await loadFile(file, env, systemClock)
    t.strictSame(outcome, checkText(text, file, env), name)
    t.match(hash, /^[0-9a-f]{10}$/)
    t.equal(await hashFile(file), hash)
  }
})

test('problems of a large file have their places, as those of a small one', async (t) => {
  for (const text of [small, large]) {
    const file = join(t.testdir({ 'sidegate.yaml': text.replace('idle: off', 'idle: 5') }), 'sidegate.yaml')
    const { outcome } = await loadFile(file, env, systemClock)
    if (!(outcome instanceof ConfigError)) throw new Error('it was accepted')
    t.equal(outcome.message, `${file}:2:94 listeners[0].deadlines.idle: got 5, write a duration such as 5s`)
  }
})

test('a file that is not there, or is no file, has a hash too: of the complaint', async (t) => {
  const directory = t.testdir({})
  mkdirSync(join(directory, 'folder'))
  const seen = new Set<string>()
  for (const [name, message] of [['nothing', 'does not exist'], ['folder', 'is a directory, not a file']] as const) {
    const file = join(directory, name)
    const { outcome, hash } = await loadFile(file, env, systemClock)
    t.match(outcome, { problems: [{ message }] })
    t.equal(await hashFile(file), hash)
    seen.add(hash)
  }
  writeFileSync(join(directory, 'binary'), Buffer.from([0x61, 0x3a, 0xff]))
  const { outcome, hash } = await loadFile(join(directory, 'binary'), env, systemClock)
  t.ok(outcome instanceof ConfigError)
  t.equal(await hashFile(join(directory, 'binary')), hash)
  t.equal(seen.add(hash).size, 3, 'each is another one')
})

test('a hostile file neither stops the event loop nor takes the memory of the pod', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': `${small}x: [${'a,'.repeat(150_000)}]` }), 'sidegate.yaml')
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const start = performance.now()
  const { outcome } = await loadFile(file, env, systemClock)
  delay.disable()
  t.match(outcome, { problems: [{ message: /^(takes more than 64 MiB to be checked|cannot be checked in 10s), write less$/ }] })
  const [stoodMs, tookMs] = [delay.max / 1e6, performance.now() - start]
  t.ok(stoodMs < Math.max(400, tookMs / 4), `${stoodMs.toFixed(0)} ms of ${tookMs.toFixed(0)} ms`)
})

test('a check that takes too long is given up, and its thread with it', async (t) => {
  const threads = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'MessagePort' || kind === 'Worker').length
  const before = threads()
  const file = join(t.testdir({ 'sidegate.yaml': large }), 'sidegate.yaml')
  const { outcome } = await loadFile(file, env, { ...systemClock, after: (_ms, run) => systemClock.after(1, run) })
  t.match(outcome, { problems: [{ message: 'cannot be checked in 10s, write less' }] })
  await eventually(() => threads() <= before, { what: 'the thread to end' })
})
