// Other programs as peers, and Sidegate itself as a process: for the tests in test/system.

import type { Test } from 'tap'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CLI } from './command.ts'
import { eventually } from './eventually.ts'
import type { Wait } from './eventually.ts'
import { freePort } from './free-port.ts'
import { plainEnv } from './plain-env.ts'

/** Options for a test that needs the tool: skipped with a reason where it is missing. */
export function needs(...tools: string[]): { skip: string | false; timeout: number } {
  const missing = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
  return { skip: missing.length > 0 ? `${missing.join(', ')} is not installed` : false, timeout: 240_000 }
}

export function temporary(t: Test): string {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

export interface Tool {
  pid: number
  output: () => string
  exited: Promise<number | null>
}

/** Runs a program until it or the test ends; SIGTERM, then SIGKILL. */
export function runTool(t: Test, command: string, args: string[], env: Record<string, string> = {}): Tool {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...plainEnv(), ...env } })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString('latin1')))
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)))
  t.teardown(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const killer = setTimeout(() => child.kill('SIGKILL'), 8000)
    await exited
    clearTimeout(killer)
  })
  return { pid: child.pid ?? 0, output: () => output, exited }
}

export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(port, '127.0.0.1')
    probe.once('connect', () => resolve(true)).once('error', () => resolve(false))
    probe.once('connect', () => probe.destroy())
  })
}

export const whenListening = (port: number, wait: Wait = {}): Promise<unknown> =>
  eventually(() => isListening(port), { what: `port ${port}`, withinMs: 20_000, ...wait })

export interface Program extends Tool {
  port: number
  healthPort: number
  /** `connection closed` lines so far. */
  ends: () => Array<Record<string, unknown>>
  descriptors: () => number
  /** Resident bytes. */
  rss: () => number
  metrics: () => Promise<string>
}

/** The ends of connections in a log. Tests look again and again while they wait for one: each line is read once. */
function endsIn(output: () => string): () => Array<Record<string, unknown>> {
  const ends: Array<Record<string, unknown>> = []
  let readTo = 0
  return () => {
    const text = output()
    const whole = text.lastIndexOf('\n') + 1
    const lines = text.slice(readTo, whole).split('\n')
    readTo = Math.max(readTo, whole)
    for (const line of lines)
      if (line.includes('"connection closed"')) ends.push(JSON.parse(line) as Record<string, unknown>)
    return [...ends]
  }
}

/** Sidegate as a process of its own; `listener` is YAML as for startGate. */
export async function program(t: Test, listener: string): Promise<Program> {
  const [port, healthPort, adminPort] = [freePort(), freePort(), freePort()]
  const file = join(temporary(t), 'sidegate.yaml')
  writeFileSync(
    file,
    `drain: { minDuration: off, spread: off, timeout: 5s, tcp: spread }\nhealth: { address: "127.0.0.1:${healthPort}" }\nadmin: { address: "127.0.0.1:${adminPort}" }\nlisteners:\n  - { name: l0, address: "127.0.0.1:${port}", ${listener} }\n`,
  )
  const tool = runTool(t, process.execPath, ['--no-warnings', CLI, 'run', '-c', file])
  const ended = tool.exited.then((code) => {
    throw new Error(`the gate ended with ${code}: ${tool.output()}`)
  })
  await Promise.race([whenListening(port), ended])
  return {
    ...tool,
    port,
    healthPort,
    ends: endsIn(tool.output),
    descriptors: () => readdirSync(`/proc/${tool.pid}/fd`).length,
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${tool.pid}/status`, 'latin1'))![1]) * 1024,
    metrics: async () => (await fetch(`http://127.0.0.1:${healthPort}/metrics`)).text(),
  }
}
