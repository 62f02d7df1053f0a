import t, { test } from 'tap'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { authority } from '../support/certificates.ts'
import type { Signed } from '../support/certificates.ts'
import { CLI } from '../support/command.ts'
import { eventually, within } from '../support/eventually.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { plainEnv } from '../support/plain-env.ts'
import { needs, program, runTool, temporary } from '../support/tools.ts'

t.setTimeout(240_000)

test(
  'curl is served over TLS with the authority, not without, and gets the connection again',
  needs('curl', 'openssl'),
  async (t) => {
    const ca = authority(t)
    const { cert, key } = ca.issue('app')
    const upstream = await recordingUpstream(t)
    const gate = await program(
      t,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${cert}", key: "${key}" }`,
    )
    const curl = async (...args: string[]): Promise<[code: number | null, output: string]> => {
      const tool = runTool(t, 'curl', [
        '-sS',
        '--max-time',
        '20',
        '--resolve',
        `localhost:${gate.port}:127.0.0.1`,
        ...args,
      ])
      return [await tool.exited, tool.output()]
    }
    const url = `https://localhost:${gate.port}`
    t.same(await curl('--cacert', ca.cert, `${url}/x`), [0, 'ok'])
    t.equal((await curl(`${url}/x`))[0], 60, 'a certificate that it cannot verify')
    t.match(await curl('--cacert', ca.cert, '-v', `${url}/1`, `${url}/2`), [
      0,
      /ALPN: server accepted h2[^]*Re-using existing connection/,
    ])
    t.match(await curl('--http1.1', '--cacert', ca.cert, '-v', `${url}/1`, `${url}/2`), [
      0,
      /ALPN: server accepted http\/1\.1[^]*Re-using existing connection/,
    ])
    t.match(await curl('--cacert', ca.cert, '--tls-max', '1.2', '-v', `${url}/x`), [0, /TLSv1\.2/])
    t.equal(upstream.requests[0]?.header('x-forwarded-proto'), 'https')
  },
)

test('openssl s_client is answered, and one that renegotiates is ended', needs('openssl'), async (t) => {
  const ca = authority(t)
  const { cert, key } = ca.issue('app')
  const upstream = await recordingUpstream(t)
  const gate = await program(
    t,
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${cert}", key: "${key}" }`,
  )
  const client = (
    ...args: string[]
  ): { say: (text: string) => void; output: () => string; exited: Promise<unknown> } => {
    const child = spawn(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${gate.port}`, '-CAfile', ca.cert, ...args],
      { env: plainEnv() },
    )
    t.teardown(() => child.kill())
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')))
    return { say: (text) => void child.stdin.write(text), output: () => output, exited: once(child, 'close') }
  }
  const reader = client('-ign_eof')
  reader.say('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  await within(reader.exited, { what: 'the end of an answer', withinMs: 30_000 })
  t.match(reader.output(), /Verify return code: 0 \(ok\)[^]*HTTP\/1\.1 200 OK/)
  t.notMatch(reader.output(), /unexpected eof/, 'its end was said by TLS')
  const asker = client('-tls1_2')
  await eventually(() => asker.output().includes('Verify return code: 0 (ok)'), {
    what: 'a handshake',
    withinMs: 30_000,
  })
  asker.say('R\n')
  await within(asker.exited, { what: 'the end of who asks for another handshake', withinMs: 30_000 })
  t.match(asker.output(), /RENEGOTIATING/)
})

test(
  'curl, openssl and python are told by TLS that they need another certificate, and get in with the right one',
  needs('curl', 'openssl', 'python3'),
  async (t) => {
    const [ca, clients, strangers] = [authority(t), authority(t, 'clients'), authority(t, 'strangers')]
    const [app, known, stranger] = [ca.issue('app'), clients.issue('known'), strangers.issue('stranger')]
    const upstream = await recordingUpstream(t)
    const gate = await program(
      t,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}" }`,
    )
    const url = `https://localhost:${gate.port}/`
    const python = join(temporary(t), 'client.py')
    writeFileSync(
      python,
      `import socket, ssl, sys, time
context = ssl.create_default_context(cafile=sys.argv[2])
if len(sys.argv) > 3: context.load_cert_chain(sys.argv[3], sys.argv[4])
try:
    with context.wrap_socket(socket.create_connection(('127.0.0.1', int(sys.argv[1]))), server_hostname='localhost') as client:
        for part in b'GET / HTTP/1.1\\r\\nHost: a\\r\\n', b'Connection: close\\r\\n\\r\\n':
            client.sendall(part)
            time.sleep(0.2) # An RST that answers the first part would fail the second.
        print(client.recv(100))
except OSError as error:
    print(error)
`,
    )
    const tools = {
      curl: ({ cert, key }: Partial<Signed>) => [
        '-sS',
        '--max-time',
        '20',
        '--cacert',
        ca.cert,
        ...(cert === undefined ? [] : ['--cert', cert, '--key', key!]),
        '--resolve',
        `localhost:${gate.port}:127.0.0.1`,
        url,
      ],
      openssl: ({ cert, key }: Partial<Signed>) => [
        's_client',
        '-connect',
        `127.0.0.1:${gate.port}`,
        '-CAfile',
        ca.cert,
        '-ign_eof',
        ...(cert === undefined ? [] : ['-cert', cert, '-key', key!]),
      ],
      python3: ({ cert, key }: Partial<Signed>) => [
        python,
        String(gate.port),
        ca.cert,
        ...(cert === undefined ? [] : [cert, key!]),
      ],
    }
    for (const [name, argumentsOf] of Object.entries(tools)) {
      for (const [signed, said] of [
        [{}, /alert certificate required/],
        [stranger, /alert unknown ca/],
      ] as const) {
        const tool = runTool(t, name, argumentsOf(signed))
        await within(tool.exited, { what: `the end of ${name}`, withinMs: 20_000 })
        t.match(tool.output().toLowerCase().replaceAll('_', ' '), said, name)
      }
    }
    for (const name of ['curl', 'python3'] as const) {
      const tool = runTool(t, name, tools[name](known))
      await within(tool.exited, { what: `the end of ${name}`, withinMs: 20_000 })
      t.match(tool.output(), /ok$|200 OK/, name)
    }
  },
)

test(
  'check names files that cannot be used and what will soon expire, and run exits with 78',
  needs('openssl'),
  async (t) => {
    const ca = authority(t)
    const [soon, other] = [ca.issue('soon', { days: 5 }), ca.issue('other')]
    const file = join(temporary(t), 'sidegate.yaml')
    const sidegate = (
      words: string[],
      tls: string,
    ): { status: number | null; stdout: string; stderr: string } => {
      writeFileSync(
        file,
        `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { address: "127.0.0.1:17443", protocol: tcp, upstream: "127.0.0.1:1", tls: { ${tls} } }\n`,
      )
      return spawnSync(
        process.execPath,
        ['--no-warnings', CLI, ...words, ...(words[0] === 'run' ? ['-c'] : []), file],
        { env: plainEnv(), encoding: 'utf8' },
      )
    }
    const good = sidegate(['check'], `cert: "${soon.cert}", key: "${soon.key}"`)
    t.equal(good.status, 0)
    t.match(
      good.stderr,
      /warning: .*listeners\[0\]\.tls\.cert: expires on \d{4}-\d\d-\d\d, in 5 days: renew it/,
    )
    for (const command of ['check', 'run']) {
      const bad = sidegate([command], `cert: "${soon.cert}", key: "${other.key}"`)
      t.equal(bad.status, 78, command)
      t.match(bad.stderr, /listeners\[0\]\.tls\.key: is not the key of the certificate in cert/)
    }
    t.match(
      sidegate(['run'], 'cert: /nowhere, key: /nowhere').stderr,
      /listeners\[0\]\.tls\.cert: \/nowhere does not exist, write the path of a file in PEM/,
    )
  },
)
