import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { plainEnv } from '../support/plain-env.ts'
import { freePort } from '../support/free-port.ts'
import { needs, runTool, temporary, whenListening } from '../support/tools.ts'
import { get } from './program.ts'

const root = join(import.meta.dirname, '../..')

test('what npm run build builds is a program, since npx makes it one only when it first links it', async (t) => {
  const { status, stdout, stderr, error } = spawnSync(join(root, 'dist/cli.js'), ['--version'], {
    encoding: 'utf8',
    env: { ...plainEnv(), PATH: `${dirname(process.execPath)}:${process.env['PATH']}` },
  })
  t.strictSame([status, error, stderr], [0, undefined, ''])
  t.match(stdout, /^sidegate /)
})

test(
  'what npm pack packs is the program and no more, and runs without an image',
  needs('tar', 'npm'),
  async (t) => {
    const directory = temporary(t)
    const npm = (...args: string[]): string =>
      execFileSync('npm', args, {
        cwd: root,
        encoding: 'utf8',
        env: plainEnv(),
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    // `npm test` has built it.
    if (!existsSync(join(root, 'dist/cli.js'))) npm('run', 'build')
    const tarball = npm('pack', '--ignore-scripts', '--silent', '--pack-destination', directory).trim()
    execFileSync('tar', ['-xzf', tarball], { cwd: directory })
    const unpacked = join(directory, 'package')
    t.strictSame(readdirSync(unpacked).sort(), ['LICENSE', 'README.md', 'dist', 'package.json'])
    // In place of the packages of `npm install`.
    symlinkSync(join(root, 'node_modules'), join(unpacked, 'node_modules'))

    const cli = join(unpacked, 'dist/cli.js')
    const manifest = spawnSync(
      process.execPath,
      [cli, 'inject', '-f', join(root, 'deploy/manifests/legacy/deployment.yaml')],
      { encoding: 'utf8', env: plainEnv() },
    )
    t.equal(manifest.status, 0, manifest.stderr)

    const [port, health, admin] = [freePort(), freePort(), freePort()]
    const file = join(directory, 'sidegate.yaml')
    writeFileSync(
      file,
      `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\nlisteners: [{ address: "127.0.0.1:${port}", protocol: http, upstream: "127.0.0.1:1" }]\n`,
    )
    const gate = runTool(t, process.execPath, [cli, 'run', '-c', file])
    await whenListening(port)
    t.equal((await get(health, '/readyz')).status, 200)
    const html = { headers: { accept: 'text/html' } }
    t.match(
      await (await fetch(`http://127.0.0.1:${admin}/`, html)).text(),
      /<script type="module" src="page.js">/,
    )
    t.equal((await fetch(`http://127.0.0.1:${admin}/page.js`)).status, 200)
    process.kill(gate.pid, 'SIGTERM')
    t.equal(await gate.exited, 0, gate.output())
  },
)
