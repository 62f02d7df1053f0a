import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { eventually, within } from '../support/eventually.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { connect, echo } from '../support/peers.ts'
import { runTool, temporary } from '../support/tools.ts'
import { build, configFile, freePorts, runFile, runProgram } from './program.ts'

test('it is ready soon after its start, and small', async (t) => {
  const upstream = await echo(t)
  const program = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, program.port)
  await client.write('hello')
  await client.read(5)
  t.comment(
    `ready after ${program.readyMs.toFixed(0)} ms, ${(program.rss() / 2 ** 20).toFixed(1)} MiB resident`,
  )
  t.ok(program.readyMs < 30_000, `${program.readyMs} ms`)
  t.equal(await program.status('/livez'), 200)
  t.equal(await program.status('/startupz'), 200)
})

const commandLine = (pid: number): string[] => readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')

const environment = (pid: number): string[] => readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')

test('it runs in the process that was started, under the flags of Node and its malloc that it needs, unless others were chosen', async (t) => {
  const listener = ['protocol: tcp, upstream: "127.0.0.1:1"']
  const program = await runProgram(t, listener)
  t.match(
    commandLine(program.pid).filter((word) => word.startsWith('--')),
    ['--max-semi-space-size=4', '--expose-gc'],
  )
  t.ok(environment(program.pid).includes('MALLOC_ARENA_MAX=1'))
  const arenas = await runProgram(t, listener, { under: ['env', 'MALLOC_ARENA_MAX=3'] })
  t.ok(environment(arenas.pid).includes('MALLOC_ARENA_MAX=3'))
  const chosen = await runProgram(t, listener, { under: ['env', 'NODE_OPTIONS=--max_semi_space_size=2'] })
  t.same(
    commandLine(chosen.pid).filter((word) => word.startsWith('--')),
    [],
  )
})

test('what reads and judges the configuration is not in the process of the gate', async (t) => {
  const directory = t.testdir({})
  const loaded = join(directory, 'loaded.txt')
  writeFileSync(loaded, '')
  const hook = `import { registerHooks } from 'node:module'; import { appendFileSync } from 'node:fs'
registerHooks({ load: (url, context, next) => { appendFileSync(${JSON.stringify(loaded)}, url + '\\n'); return next(url, context) } })`
  writeFileSync(join(directory, 'hook.mjs'), hook)
  await runProgram(t, ['protocol: http, upstream: "127.0.0.1:1"'], {
    under: ['env', `NODE_OPTIONS=--import=${join(directory, 'hook.mjs')}`],
  })
  const urls = readFileSync(loaded, 'utf8').trim().split('\n')
  const sources = urls.flatMap(bundledIn).join('\n')
  t.match(sources, /operator\/operator\.js/)
  t.notMatch(sources, /node_modules\/(yaml|valibot|ws|http-proxy-3)\/|config\/(load|schema)\.js/)
})

/** The compiled files whose code is in that one, by the comments of the bundler. */
function bundledIn(url: string): string[] {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return [url]
  return [url, ...(readFileSync(fileURLToPath(url), 'utf8').match(/^\/\/ \.build\/\S+$/gm) ?? [])]
}

test('node:http2 is loaded by the first client that speaks HTTP/2, and not before', async (t) => {
  const directory = temporary(t)
  const loaded = join(directory, 'loaded.txt')
  const hook = `import { writeFileSync } from 'node:fs'
setInterval(() => writeFileSync(${JSON.stringify(loaded)}, process.moduleLoadList.join(' ')), 50).unref()`
  writeFileSync(join(directory, 'hook.mjs'), hook)
  const upstream = await recordingUpstream(t)
  const program = await runProgram(
    t,
    [`protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}"`],
    { under: ['env', `NODE_OPTIONS=--import=${join(directory, 'hook.mjs')}`] },
  )
  const url = `http://127.0.0.1:${program.port}/`
  const hasHttp2 = (): boolean => readFileSync(loaded, 'utf8').includes('internal/http2/core')
  t.equal(await runTool(t, 'curl', ['-sS', url]).exited, 0)
  await rewritten(loaded)
  t.notOk(hasHttp2())
  t.equal(await runTool(t, 'curl', ['-sS', '--http2-prior-knowledge', url]).exited, 0)
  await eventually(hasHttp2, { what: 'node:http2 to be loaded', withinMs: 20_000 })
})

/** Resolves when `file` was written after this moment. */
async function rewritten(file: string): Promise<void> {
  const before = statSync(file).mtimeMs
  await eventually(() => statSync(file).mtimeMs > before, { withinMs: 20_000 })
}

test('a port that is in use ends it with 78 and a sentence that names the key', async (t) => {
  const taken = net.createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => void taken.close())
  const { port } = taken.address() as net.AddressInfo
  const [health, admin, free] = freePorts(3)
  const keys = {
    'health.address': [port, admin, free],
    'admin.address': [health, port, free],
    'listeners[0].address': [health, admin, port],
  }
  const places = { 'health.address': '1:20', 'admin.address': '2:19', 'listeners[0].address': '4:16' }
  for (const [key, [one, two, three]] of Object.entries(keys)) {
    const yaml = `health: { address: "127.0.0.1:${one}" }\nadmin: { address: "127.0.0.1:${two}" }\nlisteners:\n  - { address: "127.0.0.1:${three}", protocol: tcp, upstream: "127.0.0.1:1" }\n`
    const program = await runFile(t, configFile(t, yaml), { isAsked: false })
    t.equal(await program.exited, 78)
    t.match(
      program.errors(),
      `.yaml:${places[key as keyof typeof places]} ${key}: cannot listen on 127.0.0.1:${port}: the address is in use, write another`,
    )
  }
})

test('an address of another machine ends it with 78, and says so', async (t) => {
  const yaml =
    'listeners:\n  - { address: "192.0.2.1:17080", protocol: tcp, upstream: "127.0.0.1:1" }\nhealth: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\n'
  const program = await runFile(t, configFile(t, yaml), { isAsked: false })
  t.equal(await program.exited, 78)
  t.match(
    program.errors(),
    'listeners[0].address: cannot listen on 192.0.2.1:17080: no such address on this machine, write one that it has',
  )
})

test('a configuration that is wrong or absent ends it with 78 and says all that is wrong', async (t) => {
  const program = await runFile(
    t,
    configFile(
      t,
      'listeners:\n  - { address: ":17080", protocol: udp, upstream: 5, deadlines: { idel: 5s } }\n',
    ),
    { isAsked: false },
  )
  t.equal(await program.exited, 78)
  for (const word of ['listeners[0].protocol', 'listeners[0].upstream', 'idel'])
    t.match(program.errors(), word)
  const absent = await runFile(t, '/nonexistent/sidegate.yaml', { isAsked: false })
  t.equal(await absent.exited, 78)
  t.match(absent.errors(), '/nonexistent/sidegate.yaml')
})

test('more connections than the descriptor limit holds, written in the file, end it with 78', async (t) => {
  const [health, admin, port] = freePorts(3)
  const yaml = `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\nlisteners:\n  - { address: "127.0.0.1:${port}", protocol: tcp, upstream: "127.0.0.1:1", limits: { connections: 1000 } }\n`
  const program = await runFile(t, configFile(t, yaml), {
    under: ['prlimit', '--nofile=1024:1024'],
    isAsked: false,
  })
  t.equal(await program.exited, 78)
  t.match(program.errors(), /\.yaml:4:\d+ listeners\[0\]\.limits\.connections: got 1000/)
})

test('a certificate that cannot be read ends it with 78 at the key of the file, and check says the same', async (t) => {
  const [health, admin, port] = freePorts(3)
  const file = configFile(
    t,
    `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\nlisteners:\n  - address: "127.0.0.1:${port}"\n    protocol: tcp\n    upstream: "127.0.0.1:1"\n    tls:\n      cert: /nonexistent/tls.crt\n      key: /nonexistent/tls.key\n`,
  )
  const places = [`${file}:8:13 listeners[0].tls.cert: `, `${file}:9:12 listeners[0].tls.key: `]
  const program = await runFile(t, file, { isAsked: false })
  t.equal(await program.exited, 78)
  const check = spawnSync(process.execPath, [await build(), 'check', file], { encoding: 'utf8' })
  t.equal(check.status, 78)
  for (const place of places) for (const said of [program.errors(), check.stderr]) t.match(said, place)
})

/** Resolves with the process that checks the configuration. */
const checker = (pid: number): Promise<number> =>
  eventually(
    () => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0]) || null,
    { what: 'the check' },
  )
/** Seconds of work for a parser. */
const hostile = `listeners: []\nx: [${'a,'.repeat(150_000)}]\n`

test('SIGTERM while it starts ends it with 0 at once', async (t) => {
  const program = await runFile(t, configFile(t, hostile), { isAsked: false })
  await checker(program.pid)
  program.child.kill('SIGTERM')
  t.equal(await within(program.exited), 0)
  t.match(program.errors(), 'SIGTERM before it had started')
})

test('a check of the configuration that does not get done ends it with 75, which is no fault of the file', async (t) => {
  const program = await runFile(t, configFile(t, hostile), { isAsked: false })
  process.kill(await checker(program.pid), 'SIGKILL')
  t.equal(await within(program.exited), 75)
  t.match(program.errors(), 'the process for it was ended by SIGKILL')
})
