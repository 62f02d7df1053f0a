import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'tap'
import { CLI } from '../../support/command.ts'
import { plainEnv } from '../../support/plain-env.ts'
import { temporary } from '../../support/tools.ts'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('profile leaves a file, or writes to stdout; what could not be finished is not left behind', async (t) => {
  const { at } = await openGate(t)
  const directory = temporary(t)
  const file = join(directory, 'x.cpuprofile')
  t.match(await sidegate(t, 'profile', 'cpu', '--seconds', '1', '-o', file, ...at), {
    code: 0,
    stdout: new RegExp(`^${file}: [\\d.]+ [KM]iB\n$`),
  })
  t.match(JSON.parse(readFileSync(file, 'utf8')), { nodes: [] })
  t.match(JSON.parse((await sidegate(t, 'profile', 'heap', '--seconds', '1', '-o', '-', ...at)).stdout), {
    head: {},
  })
  const cut = await fakeGate(t, { 'POST /debug/heapsnapshot': null })
  t.match(await sidegate(t, 'profile', 'snapshot', '-o', join(directory, 'y'), '--admin', cut.address), {
    code: 1,
    stderr: /ended the connection/,
  })
  t.match(await sidegate(t, 'profile', 'cpu', '--seconds', '1', '-o', join(directory, 'none', 'z'), ...at), {
    code: 1,
    stderr: /cannot write ".*z": ENOENT/,
  })
  t.same(readdirSync(directory), ['x.cpuprofile'])
})

test('a profile that the gate does not finish is not left behind', async (t) => {
  const directory = temporary(t)
  const server = net.createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"half'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  const { port } = server.address() as net.AddressInfo
  t.match(
    await sidegate(t, 'profile', 'snapshot', '-o', join(directory, 'y'), '--admin', `127.0.0.1:${port}`),
    { code: 1, stderr: /did not finish the profile/ },
  )
  t.notOk(existsSync(join(directory, 'y')))
})

test('without -o it goes where something can be written, as in a pod whose root is read-only', async (t) => {
  const { at } = await openGate(t)
  // Nothing can be made in /proc, whoever asks.
  const child = spawn(process.execPath, [CLI, 'profile', 'cpu', '--seconds', '1', ...at], {
    cwd: '/proc',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...plainEnv(), TMPDIR: '/proc' },
  })
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  t.equal(code, 0)
  const [, file = ''] = /^(\/dev\/shm\/.+\.cpuprofile): /.exec(stdout) ?? []
  t.match(JSON.parse(readFileSync(file, 'utf8')), { nodes: [] })
  rmSync(file)
})
