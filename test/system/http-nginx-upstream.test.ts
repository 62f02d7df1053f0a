import t, { test } from 'tap'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pattern, sha256 } from '../support/bytes.ts'
import { get, httpClient } from '../support/http-peers.ts'
import { freePort } from '../support/free-port.ts'
import { needs, program, runTool, temporary, whenListening } from '../support/tools.ts'

t.setTimeout(240_000)

test(
  'nginx serves through the gate: files, ranges, 304, gzip, errors, and its own keep-alive closed under us',
  needs('nginx'),
  async (t) => {
    const directory = temporary(t)
    const port = freePort()
    mkdirSync(join(directory, 'www'))
    const big = pattern(3_000_000)
    writeFileSync(join(directory, 'www/big'), big)
    writeFileSync(join(directory, 'www/text.txt'), 'hello '.repeat(1000))
    writeFileSync(
      join(directory, 'nginx.conf'),
      `
daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log; user root;
events { worker_connections 256; }
http { access_log off; client_body_temp_path ${directory}/b; proxy_temp_path ${directory}/p; fastcgi_temp_path ${directory}/f; uwsgi_temp_path ${directory}/u; scgi_temp_path ${directory}/s;
  keepalive_requests 7; keepalive_timeout 1s 1s; gzip on; gzip_types text/plain; gzip_min_length 1; gzip_proxied any; types { text/plain txt; } default_type application/octet-stream;
  server { listen 127.0.0.1:${port}; root ${directory}/www; location = /echo { return 200 "$request_method $http_x_forwarded_for $http_host"; } } }
`,
    )
    runTool(t, 'nginx', [
      '-p',
      directory,
      '-c',
      join(directory, 'nginx.conf'),
      '-e',
      join(directory, 'start.log'),
    ])
    await whenListening(port)
    const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${port}"`)
    const client = await httpClient(t, gate.port)
    t.match(await client.get(get('/echo')), { status: 200, body: Buffer.from('GET 127.0.0.1 a') })
    t.equal(sha256((await client.get(get('/big'))).body), sha256(big))
    t.match(await client.get(get('/big', 'Range: bytes=5-9\r\n')), { status: 206, body: big.subarray(5, 10) })
    const { headers } = await client.get(get('/big'))
    const tag = headers.find(([name]) => name === 'ETag')![1]
    t.equal((await client.get(get('/big', `If-None-Match: ${tag}\r\n`))).status, 304)
    const zipped = await client.get(get('/text.txt', 'Accept-Encoding: gzip\r\n'))
    t.same([zipped.header('content-encoding'), zipped.header('transfer-encoding')], ['gzip', 'chunked'])
    t.equal((await client.get(get('/none'))).status, 404)
    t.equal(
      (await client.get(get('/big', '', 'HEAD'), { method: 'HEAD' })).header('content-length'),
      String(big.length),
    )
    for (let i = 0; i < 50; i++) t.equal((await client.get(get('/echo'))).status, 200)
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1000 + i * 3))
      t.equal(
        (await client.get(get('/echo'))).status,
        200,
        'at the moment that nginx closes its idle connection',
      )
    }
  },
)
