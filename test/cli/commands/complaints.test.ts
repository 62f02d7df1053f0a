import { writeFileSync } from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'
import { refuser } from '../../support/peers.ts'
import { temporary } from '../../support/tools.ts'
import { fakeGate, openGate, sidegate } from './cli.ts'

test('the address and the token come from a configuration file, or from options that go before it', async (t) => {
  const gate = await fakeGate(t, { 'GET /log': { level: 'info', goesBackTo: null, goesBackAt: null } })
  const directory = temporary(t)
  const [token, other, config] = ['token', 'other', 'sidegate.yaml'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(token, ' 0123456789abcdef\n')
  writeFileSync(other, 'fedcba9876543210')
  writeFileSync(
    config,
    `admin: { address: "${gate.address.replace('127.0.0.1', '')}", tokenFile: "${token}" }\nlisteners: [{ address: ":1", protocol: tcp, upstream: "127.0.0.1:2" }]\n`,
  )
  t.equal((await sidegate(t, 'log', '-c', config)).code, 0)
  t.equal((await sidegate(t, 'log', '-c', config, '--token-file', other)).code, 0)
  t.equal((await sidegate(t, 'log', '--admin', gate.address)).code, 0)
  t.same(gate.tokens, ['Bearer 0123456789abcdef', 'Bearer fedcba9876543210', undefined])
  t.match(await sidegate(t, 'log', '-c', join(directory, 'none')), { code: 78, stderr: /does not exist/ })
  t.match(await sidegate(t, 'log', '--token-file', join(directory, 'none'), '--admin', gate.address), {
    code: 1,
    stderr: /with the token cannot be read: ENOENT/,
  })
})

test('a gate that is not there, not one, or says nothing is exit 1 with what to do', async (t) => {
  const silent = net.createServer(() => {}).listen(0, '127.0.0.1')
  await new Promise((resolve) => silent.once('listening', resolve))
  t.teardown(() => void silent.close())
  const other = await fakeGate(t, { 'GET /log': '<html>' })
  const table: [string, RegExp][] = [
    [
      `127.0.0.1:${refuser(t).port}`,
      /^sidegate: cannot reach a gate at 127\S+: nobody listens there; is it running\? name the address of admin\.address with --admin, or its configuration file with -c\n$/,
    ],
    [`unix:${join(temporary(t), 'none.sock')}`, /there is no such socket/],
    [other.address, /did not answer as a gate does \(200\): is another program there\? name the address/],
  ]
  const check = async ([address, complaint]: [string, RegExp]) =>
    t.match(await sidegate(t, 'log', '--admin', address), { code: 1, stdout: '', stderr: complaint }, address)
  await Promise.all(table.map(check))
  t.match(
    await sidegate(t, 'health', '--health', `127.0.0.1:${(silent.address() as net.AddressInfo).port}`),
    { code: 1, stderr: /no answer for 2s/ },
  )
})

test('an answer of another program, or of the health server, is told as one, whatever its status', async (t) => {
  const page = '<html>\r\n<body>404 Not Found</body></html>'
  const asks: Record<string, [string, ...string[]]> = {
    'GET /log': ['log'],
    'POST /reload': ['reload'],
    'DELETE /connections/1': ['kill', '1'],
  }
  const notAGate = (status: number) =>
    new RegExp(
      `^sidegate: 127\\S+ did not answer as a gate does \\(${status}\\): is another program there\\? name the address of admin\\.address with --admin`,
    )
  for (const [status, body] of [
    [404, page],
    [501, page],
    [200, 'POST /reload HTTP/1.1\r\nHost: a'],
    [200, 'ok'],
    [404, ''],
  ] as const) {
    const keys = Object.keys(asks)
    const other = await fakeGate(t, Object.fromEntries(keys.map((key) => [key, body])), status)
    for (const [key, words] of Object.entries(asks))
      t.match(
        await sidegate(t, ...words, '--admin', other.address),
        { code: 1, stdout: '', stderr: notAGate(status) },
        `${key} ${status}`,
      )
    t.equal(other.asked.length, 3)
  }
  const { gate } = await openGate(t)
  t.match(await sidegate(t, 'log', '--admin', `127.0.0.1:${gate.healthPort}`), {
    code: 1,
    stderr:
      /said 404: not found; is that its health server, or a gate of another version\? name the address of admin/,
  })
  for (const address of [
    `127.0.0.1:${gate.adminPort}`,
    (await fakeGate(t, { 'GET /readyz?verbose': 'ok' })).address,
  ])
    t.match(await sidegate(t, 'health', '--health', address), {
      code: 1,
      stdout: '',
      stderr:
        /did not answer as a gate does \((200|404)\): is another program there\? name the address of health\.address/,
    })
})

test('what a gate says is no order to the terminal', async (t) => {
  const evil = '\u001b[2J\u009b31m\u202e'
  const gate = await fakeGate(t, {
    'GET /log': { level: evil, goesBackTo: null, goesBackAt: null },
    'GET /connections?limit=100&sort=age': [
      {
        id: 1,
        listener: evil,
        protocol: evil,
        client: evil,
        upstream: evil,
        phase: evil,
        ageMs: 1,
        idleMs: 1,
        bytesPerSec: 1,
        queued: { client: 1, upstream: 1 },
        close: { reason: evil },
      },
    ],
  })
  const angry = await fakeGate(t, { 'DELETE /connections/1': { error: evil } }, 400)
  const commands = [['log'], ['log', '--json'], ['connections'], ['connections', '--json'], ['kill', '1']]
  await Promise.all(
    commands.map(async (args) => {
      const { stdout, stderr } = await sidegate(
        t,
        ...args,
        '--admin',
        args[0] === 'kill' ? angry.address : gate.address,
      )
      t.notMatch((stdout + stderr).replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u, args.join(' '))
      t.match(stdout + stderr, '\\u001b[2J')
    }),
  )
})
