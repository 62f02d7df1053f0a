import { test } from 'tap'
import { ConfigError } from '../../src/core/errors.ts'
import { ReloadRefused, Reloads } from '../../src/lifecycle/reload.ts'
import { Log } from '../../src/log/log.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** A file of one word: `bad` cannot be read, `taken` not be applied, `broken` finds a bug of ours, `early` comes at a wrong time. */
function setUp() {
  const clock = fakeClock()
  const lines: string[] = []
  const log = new Log({
    writer: { write: (line) => void lines.push((JSON.parse(line) as { msg: string }).msg) },
    clock,
  })
  const file = { text: 'first', loads: 0, isSlow: false, isUndecided: false, isPassing: false }
  const applied: string[] = []
  let go = (): void => {}
  const problem = (message: string): ConfigError =>
    new ConfigError('cfg', [{ line: 2, column: 5, path: 'listeners', message, isPassing: file.isPassing }])
  const reloads = new Reloads<string>({
    clock,
    log,
    hash: 'h:first',
    content: Buffer.from('first'),
    source: {
      file: 'sidegate.yaml',
      read: () => Promise.resolve(Buffer.from(file.text)),
      load: async (content) => {
        const text = String(content)
        file.loads += 1
        if (file.isSlow) await new Promise<void>((resolve) => (go = resolve))
        const outcome =
          text === 'bad' || file.isUndecided
            ? problem('is bad')
            : { config: text, warnings: [], origins: {}, places: {} }
        return { hash: `h:${text}`, outcome, isUndecided: file.isUndecided }
      },
    },
    apply: (config) => {
      if (config === 'taken' || file.isPassing) throw problem('the address is in use')
      if (config === 'early') throw new ReloadRefused('a drain is under way')
      if (config === 'broken') throw new TypeError('x is not a function')
      applied.push(config)
      return Promise.resolve(config === 'moved' ? ['health.address'] : [])
    },
  })
  return { clock, lines, file, applied, reloads, go: () => go() }
}

test('a good file is applied, and its hash and its time are known', async (t) => {
  const { clock, lines, file, applied, reloads } = setUp()
  t.same([reloads.hash, reloads.succeededAt, reloads.successes], ['h:first', clock.wall(), 0])
  await clock.pass(1000)
  file.text = 'second'
  t.same(await reloads.reload('SIGHUP'), { result: 'success', hash: 'h:second', restartRequired: [] })
  t.same(
    [reloads.hash, reloads.succeededAt, reloads.successes, reloads.fault],
    ['h:second', clock.wall(), 1, null],
  )
  t.same([applied, lines], [['second'], ['reloaded']])
})

test('a file that nobody could judge is looked at again, until it is judged', async (t) => {
  const { reloads, file, applied } = setUp()
  file.text = 'second'
  file.isUndecided = true
  await reloads.reloadIfChanged()
  await reloads.reloadIfChanged()
  t.same([file.loads, applied, reloads.failures], [2, [], 2])
  file.isUndecided = false
  await reloads.reloadIfChanged()
  await reloads.reloadIfChanged()
  t.same([file.loads, applied, reloads.fault], [3, ['second'], null])
})

test('a file for which this host lacks a descriptor or memory is looked at again, until it has them', async (t) => {
  const { reloads, file, applied } = setUp()
  file.text = 'second'
  file.isPassing = true
  await reloads.reloadIfChanged()
  await reloads.reloadIfChanged()
  t.same([file.loads, applied, reloads.failures], [2, [], 2])
  file.isPassing = false
  await reloads.reloadIfChanged()
  await reloads.reloadIfChanged()
  t.same([file.loads, applied, reloads.fault], [3, ['second'], null])
})

test('who asks gets a reload even of a file that did not change; a look does not', async (t) => {
  const { reloads, file, applied } = setUp()
  await reloads.reloadIfChanged()
  t.same([file.loads, applied], [0, []])
  await reloads.reload('admin')
  t.same(applied, ['first'])
})

for (const [text, message] of [
  ['bad', 'is bad'],
  ['taken', 'the address is in use'],
] as const) {
  test(`a file that ${message} is complained of once, counted, and shown until a good one comes`, async (t) => {
    const { clock, lines, file, applied, reloads } = setUp()
    file.text = text
    for (let poll = 0; poll < 3; poll += 1) await reloads.reloadIfChanged()
    t.same(
      [lines, reloads.failures, applied, reloads.hash],
      [['reload failed, the last good configuration stays'], 1, [], 'h:first'],
    )
    t.match(reloads.fault, {
      hash: `h:${text}`,
      at: clock.wall(),
      file: 'sidegate.yaml',
      problems: [{ line: 2, column: 5, message }],
    })
    t.same(await reloads.reload('admin'), {
      result: 'failure',
      problems: [`sidegate.yaml:2:5 listeners: ${message}`],
    })
    t.equal(reloads.failures, 2)
    file.text = 'good'
    await reloads.reloadIfChanged()
    t.same([reloads.fault, applied, reloads.hash], [null, ['good'], 'h:good'])
  })
}

test('a file that goes back to what is in effect clears the fault', async (t) => {
  const { file, reloads } = setUp()
  file.text = 'bad'
  await reloads.reloadIfChanged()
  file.text = 'first'
  await reloads.reloadIfChanged()
  t.same([reloads.fault, reloads.successes, reloads.failures], [null, 1, 1])
})

test('what comes at a wrong time is refused, not counted as a failure, and tried again', async (t) => {
  const { file, lines, reloads } = setUp()
  file.text = 'early'
  await reloads.reloadIfChanged()
  t.same(await reloads.reload('admin'), { result: 'refused', problems: ['a drain is under way'] })
  t.same([reloads.failures, reloads.fault, file.loads], [0, null, 2])
  t.same(lines, ['reload refused'], 'the look says nothing, whoever asks is told')
})

test('a file that finds a bug of ours changes nothing, and ends nothing', async (t) => {
  const { file, lines, reloads } = setUp()
  file.text = 'broken'
  t.same(await reloads.reload('admin'), {
    result: 'failure',
    problems: ['sidegate.yaml internal error: x is not a function'],
  })
  t.same(lines, [
    'internal error in a reload: this is a bug',
    'reload failed, the last good configuration stays',
  ])
  t.equal(reloads.hash, 'h:first')
})

test('keys that wait for a restart are said, and forgotten once they are back', async (t) => {
  const { file, lines, reloads } = setUp()
  file.text = 'moved'
  t.match(await reloads.reload('admin'), { result: 'success', restartRequired: ['health.address'] })
  t.same(reloads.restartRequired, ['health.address'])
  t.equal(lines.at(-1), 'changes that need a restart are not in effect')
  file.text = 'first'
  await reloads.reload('admin')
  t.same(reloads.restartRequired, [])
})

test('reloads are made one at a time; all who ask during one share the next, which reads the file after they asked', async (t) => {
  const { file, applied, reloads, go, clock } = setUp()
  file.isSlow = true
  const first = reloads.reload('admin')
  await clock.pass(0)
  file.text = 'second'
  const others = [reloads.reload('SIGHUP'), reloads.reload('admin'), reloads.reload('file')]
  await clock.pass(0)
  t.equal(file.loads, 1, 'they wait')
  go()
  await first
  await clock.pass(0)
  t.same([file.loads, applied], [2, ['first']])
  go()
  t.match(await Promise.all(others), [{ hash: 'h:second' }, { hash: 'h:second' }, { hash: 'h:second' }])
  t.same([file.loads, applied], [2, ['first', 'second']])
})

test('without a file there is nothing to reload', async (t) => {
  const clock = fakeClock()
  const log = new Log({ writer: { write() {} }, clock })
  const reloads = new Reloads<string>({
    clock,
    log,
    source: null,
    content: null,
    hash: '',
    apply: () => Promise.resolve([]),
  })
  t.same(await reloads.reload('admin'), {
    result: 'refused',
    problems: ['there is no configuration file to reload'],
  })
  await reloads.reloadIfChanged()
})
