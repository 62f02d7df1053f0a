import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { CLI } from '../support/command.ts'

const good =
  'listeners: [{ address: ":17080", protocol: http, upstream: "127.0.0.1:8080", http: { trustForwarded: [] } }]\n'

function sidegate(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    encoding: 'utf8',
    env: { ...process.env, IDLE: '5' },
  })
  return { status, stdout, stderr }
}

test('wrong usage exits 64 and says what is right', async (t) => {
  const table: [string[], string][] = [
    [[], 'which command?'],
    [['chek', 'f'], 'unknown command "chek", did you mean check?'],
    [['\u001b[31m'], 'unknown command "\\u001b[31m"'],
    [['run'], 'run needs a configuration: sidegate run -c FILE'],
    [['run', '--fast'], "unknown option '--fast'"],
    [['run', 'f'], "unexpected argument 'f', a configuration comes after -c: sidegate run -c FILE"],
    [['serve', '-c', 'f'], 'unknown command "serve", did you mean run?'],
    [['version'], 'unknown command "version", did you mean --version?'],
    [['constructor'], 'unknown command "constructor"'],
    [['check', ''], 'an empty argument, write a value (is a variable of the shell not set?)'],
    [['check'], 'check needs one file: sidegate check FILE'],
    [['check', 'a', 'b'], 'check needs one file: sidegate check FILE'],
    [['check', '-c', 'a', 'b'], 'check needs one file: sidegate check FILE'],
    [['explain', 'write_timout'], 'unknown reason "write_timout", did you mean write_timeout?'],
    [['explain', 'idle'], 'unknown reason "idle", did you mean idle_timeout?'],
    [['explain', 'zebra'], 'unknown reason "zebra"; sidegate explain lists them'],
    [['explain', 'a', 'b'], 'explain takes one reason: sidegate explain [REASON]'],
    [['kill'], 'kill needs one ID of sidegate connections: sidegate kill ID'],
    [['schema', 'x'], "unexpected argument 'x'"],
    [['--frobnicate'], 'unknown command "--frobnicate"'],
  ]
  for (const [args, complaint] of table) {
    const { status, stdout, stderr } = sidegate(...args)
    t.equal(status, 64, args.join(' '))
    t.equal(stdout, '')
    t.ok(stderr.startsWith(`sidegate: ${complaint}`), stderr)
    const isCommand = ['run', 'check', 'explain', 'kill', 'schema'].includes(args[0] ?? '')
    t.ok(stderr.endsWith(`\ntry: sidegate ${isCommand ? `${args[0]} --help` : 'help'}\n`), stderr)
  }
})

test('help and the version are on stdout, however they are asked for', async (t) => {
  for (const args of [['help'], ['--help'], ['-h']]) {
    const { status, stdout } = sidegate(...args)
    t.equal(status, 0)
    t.match(stdout, /^usage: sidegate <command>\n/)
  }
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  t.match(sidegate('check', '--help').stdout, /^usage: sidegate check FILE/)
  t.equal(sidegate('--version').stdout, `sidegate ${version}\n`)
})

test('check says that a file is valid, with what is risky in it', async (t) => {
  const file = join(t.testdir({ 'sidegate.yaml': good }), 'sidegate.yaml')
  t.strictSame(sidegate('check', file), { status: 0, stdout: `${file} is valid\n`, stderr: '' })
  t.strictSame(sidegate('check', '-c', file), sidegate('check', file), 'as run takes it')
  writeFileSync(file, good.replace(' }]', ', deadlines: { write: off } }]'))
  t.strictSame(sidegate('check', file), {
    status: 0,
    stdout: `${file} is valid\n`,
    stderr: `warning: ${file}:1:128 listeners[0].deadlines.write: off: a reader that stalls is kept for ever, with its buffers\n`,
  })
  t.match(JSON.parse(sidegate('check', '--json', file).stdout), {
    valid: true,
    errors: [],
    warnings: [{ line: 1, column: 128, path: 'listeners[0].deadlines.write' }],
  })
})

test('check notes what a file leaves open, which is no warning', async (t) => {
  const file = join(
    t.testdir({ 'sidegate.yaml': good.replace(', http: { trustForwarded: [] }', '') }),
    'sidegate.yaml',
  )
  const { status, stdout, stderr } = sidegate('check', file)
  t.strictSame([status, stdout], [0, `${file} is valid\n`])
  t.match(stderr, /^note: \S+:1:\d+ listeners\[0\]\.http\.trustForwarded: not written: [^\n]+\n$/)
  t.match(JSON.parse(sidegate('check', '--json', file).stdout), {
    valid: true,
    warnings: [],
    notes: [{ line: 1, path: 'listeners[0].http.trustForwarded' }],
  })
})

test('check lists every error of a file and exits 78', async (t) => {
  const file = join(
    t.testdir({ 'sidegate.yaml': good.replace(' }]', ', deadlines: { idle: 5, wirte: 1s } }]') }),
    'sidegate.yaml',
  )
  const expected = [
    `${file}:1:127 listeners[0].deadlines.idle: got 5, write a duration such as 5s`,
    `${file}:1:130 listeners[0].deadlines.wirte: unknown key, did you mean write?`,
  ]
  t.strictSame(sidegate('check', file), { status: 78, stdout: '', stderr: `${expected.join('\n')}\n` })
  const { status, stdout, stderr } = sidegate('check', '--json', file)
  t.strictSame([status, stderr], [78, ''])
  t.match(JSON.parse(stdout), {
    valid: false,
    errors: [
      { line: 1, column: 127 },
      { line: 1, column: 130 },
    ],
    warnings: [],
  })
  t.strictSame(sidegate('check', '/absent.yaml'), {
    status: 78,
    stdout: '',
    stderr: '/absent.yaml does not exist\n',
  })
})

test('check takes ${NAME} from the environment', async (t) => {
  const file = join(
    t.testdir({ 'sidegate.yaml': good.replace(' }]', ', deadlines: { idle: "${IDLE}" } }]') }),
    'sidegate.yaml',
  )
  t.match(
    sidegate('check', file).stderr,
    'got "5", write a duration such as 250ms, 30s, 5m or 1h (the value comes from ${IDLE})',
  )
})

test('explain tells all reasons, or one in full', async (t) => {
  t.match(sidegate('explain').stdout, /^REASON +MANNER +HTTP +KEY\neof /)
  const { status, stdout } = sidegate('explain', 'write_timeout')
  t.equal(status, 0)
  t.match(stdout, /^write_timeout\n\n {2}meaning {4}Bytes waited/)
  t.match(stdout, 'deadlines.write (default 30s, and 5m for protocol: tcp)')
})

test('schema prints the schema of the documentation', async (t) => {
  t.equal(
    sidegate('schema').stdout,
    readFileSync(new URL('../../docs/sidegate.schema.json', import.meta.url), 'utf8'),
  )
})

test('a reader that stops reading is no error', async (t) => {
  for (const args of [['schema'], ['explain'], ['help']]) {
    const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk
    })
    const [code] = (await once(child, 'close')) as [number]
    t.strictSame([code, stderr], [0, ''], args.join(' '))
  }
})
