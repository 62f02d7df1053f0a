import t, { test } from 'tap'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pattern, sha256 } from '../support/bytes.ts'
import { httpService, tellsWhatCame } from '../support/http-service.ts'
import { needs, program, runTool, temporary } from '../support/tools.ts'

t.setTimeout(240_000)

test(
  'curl gets, posts, uploads in chunks, resumes its connection, and sees a cut answer as one',
  needs('curl'),
  async (t) => {
    const big = pattern(20_000_000)
    const port = await httpService(t, tellsWhatCame(big))
    const gate = await program(t, `protocol: http, upstream: "127.0.0.1:${port}"`)
    const url = `http://127.0.0.1:${gate.port}`
    const directory = temporary(t)
    const file = join(directory, 'big')
    writeFileSync(file, big)
    const curl = async (...args: string[]): Promise<[code: number | null, output: string]> => {
      const tool = runTool(t, 'curl', ['-sS', '--max-time', '60', ...args])
      return [await tool.exited, tool.output()]
    }
    t.same(await curl(`${url}/a/../b?`, '--path-as-is'), [0, `GET /a/../b? - ${sha256()}`])
    t.same(await curl(`${url}/x`, '-d', 'hello'), [0, `POST /x 5 ${sha256('hello')}`])
    t.same(
      await curl(`${url}/x`, '-T', file),
      [0, `PUT /x ${big.length} ${sha256(big)}`],
      'with Expect: 100-continue',
    )
    t.same(await curl(`${url}/x`, '-T', file, '-H', 'Transfer-Encoding: chunked'), [
      0,
      `PUT /x chunked ${sha256(big)}`,
    ])
    t.same(
      await curl(
        '-X',
        'DELETE',
        `${url}/x`,
        '-H',
        'Transfer-Encoding: chunked',
        '-d',
        'GET /smuggled HTTP/1.1',
      ),
      [0, `DELETE /x chunked ${sha256('GET /smuggled HTTP/1.1')}`],
    )
    t.equal((await curl(`${url}/big`, '-o', `${file}2`))[0], 0)
    t.ok(readFileSync(`${file}2`).equals(big))
    t.equal((await curl('--http1.0', `${url}/big`, '-o', `${file}3`))[0], 0)
    t.ok(readFileSync(`${file}3`).equals(big))
    t.match((await curl('-I', `${url}/big`))[1], /^HTTP\/1\.1 200 OK\r\n/)
    t.equal((await curl(`${url}/cut`))[0], 18, 'transfer closed with bytes remaining')
    t.equal((await curl('--http1.0', `${url}/cut`))[0], 18)
    t.match(await curl('-v', `${url}/1`, `${url}/2`), { 1: /Re-using existing connection/ })
    t.match((await curl('--http2', '-v', `${url}/x`))[1], /GET \/x - /)
    const [code] = await curl('--http2-prior-knowledge', `${url}/x`)
    t.not(code, 0)
  },
)
