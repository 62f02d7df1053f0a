// The built program before an upstream, and tools from outside to try it with. Tests that need what this machine lacks are
// skipped with the reason.

import { plainEnv } from '../support/plain-env.ts'
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { runProgram } from './program.ts'

/** For `test(title, { skip }, ...)`: false, or the reason to skip. */
export function missing(...needed: Array<{ name: string; isThere: boolean }>): string | false {
  const lacking = needed.filter(({ isThere }) => !isThere)
  return lacking.length === 0 ? false : `needs ${lacking.map(({ name }) => name).join(' and ')}`
}

function runs(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore', timeout: 20_000 }).status === 0
}

/** A Python that has the module `websockets`: Debian's own, where another one comes first in PATH. */
export const python =
  ['python3', '/usr/bin/python3'].find((command) => runs(command, '-c', 'import websockets')) ?? null
export const curl = runs('curl', '--version') ? 'curl' : null

export interface Gate {
  url: string
  port: number
  /** The nth end-of-connection line, once it is there. */
  end(nth?: number): Promise<Record<string, unknown>>
}

/** The built program with one listener in front of `upstreamPort`; `options` are more keys of it. SIGINT must end it with 0. */
export async function startProgram(t: Test, upstreamPort: number, options = ''): Promise<Gate> {
  const program = await runProgram(t, [
    `protocol: http, upstream: "127.0.0.1:${upstreamPort}"${options === '' ? '' : `, ${options}`}`,
  ])
  t.teardown(async () => {
    program.child.kill('SIGINT')
    const code = await within(program.exited, { withinMs: 15_000, what: 'the program to stop' })
    if (code !== 0) throw new Error(`the program ended with ${code}: ${program.errors()}`)
  })
  const ends = (): Array<Record<string, unknown>> =>
    program.lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ msg }) => msg === 'connection closed')
  return {
    url: `ws://127.0.0.1:${program.port}`,
    port: program.port,
    end: (nth = 0) => eventually(() => ends()[nth], { withinMs: 15_000, what: `end ${nth} of a connection` }),
  }
}

export interface Ran {
  code: number | null
  out: string
}

/** Runs a command to its end; its output includes stderr. */
export async function run(t: Test, command: string, args: string[], withinMs = 30_000): Promise<Ran> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: plainEnv() })
  t.teardown(() => void child.kill('SIGKILL'))
  let out = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => void (out += chunk.toString()))
  const code = await within(new Promise<number | null>((resolve) => child.once('close', resolve)), {
    withinMs,
    what: `${command} to end`,
  })
  return { code, out }
}

/** Runs a peer until the test ends; resolves with the first line that it prints. */
export async function runPeer(t: Test, command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], env: plainEnv() })
  const exited = new Promise((resolve) => child.once('close', resolve))
  t.teardown(() => {
    child.kill('SIGKILL')
    return exited
  })
  return within(
    new Promise<string>((resolve) => createInterface({ input: child.stdout }).once('line', resolve)),
    { withinMs: 15_000, what: `${command} to speak` },
  )
}
