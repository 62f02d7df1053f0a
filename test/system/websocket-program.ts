// The built program as a process of its own, with one listener in front of an upstream, and tools from outside to try it
// with. Tests that need what this machine lacks are skipped with the reason.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'

const program = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

/** For `test(title, { skip }, ...)`: false, or why not. */
export function missing(...needed: Array<{ name: string; isThere: boolean }>): string | false {
  const lacking = [{ name: 'dist/cli.js (npm run build)', isThere: existsSync(program) }, ...needed].filter(({ isThere }) => !isThere)
  return lacking.length === 0 ? false : `needs ${lacking.map(({ name }) => name).join(' and ')}`
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 20_000 }).status === 0
}

/** A Python that has the module `websockets`: Debian's own, where another one comes first in PATH. */
export const python = ['python3', '/usr/bin/python3'].find((command) => runs(command, '-c', 'import websockets')) ?? null
export const curl = runs('curl', '--version') ? 'curl' : null
export const chromium = ['chromium', 'chromium-browser', 'google-chrome'].find((command) => runs(command, '--version')) ?? null

function freePort(): number {
  const bound = new net.BoundSocket({ host: '127.0.0.1', port: 0 })
  const { port } = bound.address()
  bound.close()
  return port
}

export interface Program {
  port: number
  url: string
  /** The end-of-connection lines so far. */
  lines: Array<Record<string, unknown>>
  /** The nth of them, once it is there. */
  end(nth?: number): Promise<Record<string, unknown>>
}

/** Runs `sidegate run` until the test ends, and then SIGTERM must end it with 0. `options` are keys of the listener. */
export async function startProgram(t: Test, upstreamPort: number, options = ''): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), 'sidegate-'))
  const [port, healthPort, adminPort] = [freePort(), freePort(), freePort()]
  const file = join(folder, 'sidegate.yaml')
  const listener = `{ name: app, address: "127.0.0.1:${port}", protocol: http, upstream: "127.0.0.1:${upstreamPort}"${options === '' ? '' : `, ${options}`} }`
  writeFileSync(file, `health: { address: "127.0.0.1:${healthPort}" }\nadmin: { address: "127.0.0.1:${adminPort}" }\nlisteners:\n  - ${listener}\n`)
  const child = spawn(process.execPath, [program, 'run', '-c', file], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const lines: Program['lines'] = []
  createInterface({ input: child.stdout }).on('line', (line) => {
    const fields = JSON.parse(line) as Record<string, unknown>
    if (fields['msg'] === 'connection closed') lines.push(fields)
  })
  t.teardown(async () => {
    child.kill('SIGTERM')
    const code = await within(exited, { withinMs: 15_000, what: 'the program to stop' }).catch(() => {
      child.kill('SIGKILL')
      return null
    })
    rmSync(folder, { recursive: true })
    if (code !== 0) throw new Error(`the program ended with ${code}`)
  })
  const isReady = (): Promise<boolean> => fetch(`http://127.0.0.1:${healthPort}/readyz`).then(({ ok }) => ok, () => false)
  await eventually(isReady, { withinMs: 15_000, what: 'the program to be ready' })
  return { port, url: `ws://127.0.0.1:${port}`, lines, end: (nth = 0) => eventually(() => lines[nth], { withinMs: 15_000, what: `end ${nth} of a connection` }) }
}

export interface Ran {
  code: number | null
  out: string
}

/** Runs a command to its end; its stderr is added to what it says. */
export async function run(t: Test, command: string, args: string[], withinMs = 30_000): Promise<Ran> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => void child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => void (out += chunk.toString()))
  const code = await within(new Promise<number | null>((resolve) => child.once('close', resolve)), { withinMs, what: `${command} to end` })
  return { code, out }
}

/** Runs a peer until the test ends; resolves with the first line that it prints. */
export async function runPeer(t: Test, command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = new Promise((resolve) => child.once('close', resolve))
  t.teardown(() => {
    child.kill('SIGKILL')
    return exited
  })
  return within(new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve)), { withinMs: 15_000, what: `${command} to speak` })
}
