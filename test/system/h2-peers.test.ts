// HTTP/2 with foreign peers: curl, nghttp and h2load as clients, over TLS by ALPN and in the clear by prior
// knowledge, and nghttpd as the service.

import t, { test, type Test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pattern, sha256 } from '../support/bytes.ts'
import { authority } from '../support/certificates.ts'
import { httpService, tellsWhatCame } from '../support/http-service.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)
const big = pattern(8_000_000)

const told = tellsWhatCame(big)

function service(t: Test): Promise<number> {
  return httpService(t, (request, response) => {
    if (request.url?.startsWith('/small')) response.end('ok')
    else told(request, response)
  })
}

/** In the clear and over TLS: the address, and the arguments of curl. */
async function gates(t: Test) {
  const upstream = `upstream: "127.0.0.1:${await service(t)}"`
  const server = authority(t).issue('server')
  const clear = await program(t, `protocol: http, ${upstream}, http: { h2c: on }`)
  const tls = await program(
    t,
    `protocol: http, ${upstream}, tls: { cert: "${server.cert}", key: "${server.key}" }`,
  )
  return [
    {
      name: 'in the clear',
      gate: clear,
      url: `http://127.0.0.1:${clear.port}`,
      curl: ['--http2-prior-knowledge'],
    },
    { name: 'over TLS', gate: tls, url: `https://127.0.0.1:${tls.port}`, curl: ['--http2', '-k'] },
  ]
}

async function run(
  t: Test,
  command: string,
  ...args: string[]
): Promise<[code: number | null, output: string]> {
  const tool = runTool(t, command, args)
  return [await tool.exited, tool.output()]
}

test('curl gets, posts, uploads, and sees a cut answer as one', needs('curl'), async (t) => {
  const directory = temporary(t)
  const file = join(directory, 'big')
  writeFileSync(file, big)
  for (const { name, url, curl: how, gate } of await gates(t)) {
    const curl = (...args: string[]) => run(t, 'curl', '-sS', '--max-time', '60', ...how, ...args)
    t.same(
      await curl('-w', '%{http_version}', '-o', '/dev/null', `${url}/small`),
      [0, '2'],
      `${name}: HTTP/2`,
    )
    t.same(await curl(`${url}/a/../b?`, '--path-as-is'), [0, `GET /a/../b? - ${sha256()}`], name)
    t.same(
      await curl('-d', 'hello', `${url}/post`),
      [0, `POST /post 5 ${sha256(Buffer.from('hello'))}`],
      name,
    )
    t.same(await curl('-T', file, `${url}/up`), [0, `PUT /up 8000000 ${sha256(big)}`], name)
    t.same(
      await curl('-H', 'content-length:', '-X', 'PUT', '--data-binary', `@${file}`, `${url}/up`),
      [0, `PUT /up chunked ${sha256(big)}`],
      name,
    )
    const [code, output] = await curl('-w', '%{size_download}', '-o', join(directory, 'got'), `${url}/big`)
    t.same([code, output], [0, '8000000'], name)
    t.not((await curl(`${url}/cut`))[0], 0, `${name}: the cut answer is none`)
    // In the clear curl 7.88 fails at this with any server.
    if (how.includes('--http2')) {
      const small = Array.from({ length: 100 }, () => ['-o', '/dev/null', `${url}/small`]).flat()
      const many = await curl(
        '--no-progress-meter',
        '--parallel',
        '--parallel-max',
        '50',
        '-w',
        '%{http_code} ',
        ...small,
      )
      t.same(many, [0, '200 '.repeat(100)], `${name}: a hundred at once`)
    }
    t.equal(await gate.metrics().then((text) => /internal_error"} [1-9]/.test(text)), false)
  }
})

test('curl offers to upgrade to h2c, is not heard, and gets HTTP/1.1', needs('curl'), async (t) => {
  const [clear] = await gates(t)
  t.same(await run(t, 'curl', '-sS', '--http2', '-w', ' %{http_version}', `${clear!.url}/small`), [
    0,
    'ok 1.1',
  ])
})

test('nghttp: a page of streams, small windows, bodies, padding', needs('nghttp'), async (t) => {
  const file = join(temporary(t), 'big')
  writeFileSync(file, big)
  for (const { name, url } of await gates(t)) {
    const nghttp = (...args: string[]) => run(t, 'nghttp', '--no-verify-peer', ...args)
    const [code, output] = await nghttp(
      '-nv',
      ...Array.from({ length: 50 }, (_, nth) => `${url}/small?${nth}`),
    )
    t.equal(code, 0, name)
    t.equal(output.match(/:status: 200/g)?.length, 50, `${name}: fifty answers`)
    t.notMatch(output, /RST_STREAM|error_code=(?!NO_ERROR)/, name)
    const windows = await nghttp('-ns', '-w', '14', '-W', '15', `${url}/big`)
    t.match(windows[1], / 200 +7M/, `${name}: through windows of 16 KiB`)
    const [posted, answer] = await nghttp('-d', file, '-b', '100', `${url}/post`)
    t.same([posted, answer], [0, `POST /post 8000000 ${sha256(big)}`], `${name}: with padding`)
  }
})

test(
  'h2load: four thousand requests over eight connections of ten streams all succeed',
  needs('h2load'),
  async (t) => {
    for (const { name, url, gate } of await gates(t)) {
      const [code, output] = await run(t, 'h2load', '-n', '4000', '-c', '8', '-m', '10', `${url}/small`)
      t.equal(code, 0)
      t.match(
        output,
        /4000 total, 4000 started, 4000 done, 4000 succeeded, 0 failed, 0 errored, 0 timeout/,
        name,
      )
      const most = await run(
        t,
        'h2load',
        '-n',
        '2000',
        '-c',
        '2',
        '-m',
        '100',
        '-w',
        '12',
        '-W',
        '12',
        `${url}/small`,
      )
      t.match(most[1], /2000 succeeded, 0 failed/, `${name}: a hundred streams, windows of 4 KiB`)
      const faults = gate.ends().filter(({ close }) => close !== 'eof')
      t.same(faults, [], `${name}: nobody is taken for an attacker`)
    }
  },
)

/** nghttpd, which serves the files of a directory and returns uploads, and a gate in front that speaks either version to clients. */
async function beforeNghttpd(t: Test, ...options: string[]) {
  const directory = temporary(t)
  writeFileSync(join(directory, 'big'), big)
  writeFileSync(join(directory, 'small'), 'ok')
  const port = freePort()
  runTool(t, 'nghttpd', [
    '-a',
    '127.0.0.1',
    '--no-tls',
    '--echo-upload',
    '-d',
    directory,
    ...options,
    String(port),
  ])
  await whenListening(port)
  const upstream = `upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }`
  const gate = await program(t, `protocol: http, ${upstream}, http: { h2c: on }`)
  return { gate, url: `http://127.0.0.1:${gate.port}`, file: join(directory, 'big') }
}

test(
  'nghttpd as the service: files, uploads, trailers and what is not there, for clients of either version',
  needs('nghttpd'),
  async (t) => {
    const { url, file, gate } = await beforeNghttpd(t, '--trailer=x-sum: 17')
    const got = join(temporary(t), 'got')
    for (const how of ['--http1.1', '--http2-prior-knowledge']) {
      const curl = (...args: string[]) => run(t, 'curl', '-sS', '--max-time', '60', how, ...args)
      t.same(
        await curl('-o', got, '-w', '%{http_code} %{size_download}', `${url}/big`),
        [0, '200 8000000'],
        how,
      )
      t.equal(sha256(readFileSync(got)), sha256(big), `${how}: byte for byte`)
      t.same(
        await curl('-T', file, '-o', got, '-w', '%{http_code} %{size_download}', `${url}/up`),
        [0, '200 8000000'],
        how,
      )
      t.equal(sha256(readFileSync(got)), sha256(big), `${how}: and back`)
      t.same(await curl('-o', '/dev/null', '-w', '%{http_code}', `${url}/absent`), [0, '404'], how)
      t.match((await curl('-I', `${url}/small`))[1], /^HTTP\/\S+ 200/, `${how}: HEAD`)
      t.match((await curl('-i', `${url}/small`))[1], /x-sum: 17/i, `${how}: trailers`)
    }
    const faults = gate.ends().filter(({ close }) => close !== 'eof')
    t.same(faults, [])
  },
)

test(
  'nghttpd that allows five streams, with windows of 4 KiB: five thousand requests all succeed',
  needs('nghttpd', 'h2load'),
  async (t) => {
    const { url, gate } = await beforeNghttpd(t, '-m', '5', '-w', '12', '-W', '12')
    const [code, output] = await run(t, 'h2load', '-n', '5000', '-c', '8', '-m', '10', `${url}/small`)
    t.equal(code, 0)
    t.match(output, /5000 succeeded, 0 failed, 0 errored, 0 timeout/)
    t.match(output, /status codes: 5000 2xx/)
    const faults = gate.ends().filter(({ close }) => close !== 'eof')
    t.same(faults, [])
  },
)
