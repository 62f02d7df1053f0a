// The built program as a process of its own, as it is shipped: compiled once for each test file, run with a file.

import type { Test } from 'tap'
import { execFile, spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readSamples, type Samples } from '../metrics/samples.ts'
import { SHIPPED } from '../support/command.ts'
import { eventually, within } from '../support/eventually.ts'
import { plainEnv } from '../support/plain-env.ts'
import { freePort } from '../support/free-port.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
let built: Promise<string> | null = null

/** The path of cli.js, compiled from the current sources into a folder that goes with this process. */
export function build(): Promise<string> {
  return (built ??= compile())
}

async function compile(): Promise<string> {
  if (SHIPPED !== null) return SHIPPED
  // Below the project, so that Node finds its node_modules; package.json has the version and makes these modules.
  const directory = join(root, '.tap', `built-${process.pid}`)
  mkdirSync(directory, { recursive: true })
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  copyFileSync(join(root, 'package.json'), join(directory, 'package.json'))
  const cli = join(directory, 'dist', 'cli.js')
  const tsc = join(root, 'node_modules', '.bin', 'tsc')
  await promisify(execFile)(tsc, ['-p', 'tsconfig.build.json', '--outDir', join(directory, 'dist')], {
    cwd: root,
    env: plainEnv(),
  }).catch((error: unknown) => {
    if (!existsSync(join(directory, 'dist', 'cli', 'cli.js'))) throw error
  })
  writeFileSync(cli, 'import "./cli/cli.js"\n')
  return cli
}

export function freePorts(count: number): number[] {
  return Array.from({ length: count }, freePort)
}

/** Writes a configuration file, removed with the test. */
export function configFile(t: Test, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  const file = join(directory, 'sidegate.yaml')
  writeFileSync(file, text)
  return file
}

export interface Program {
  child: ChildProcess
  pid: number
  /** Of the first listener. */
  port: number
  ports: number[]
  healthPort: number
  adminPort: number
  /** Milliseconds from the start of the process until it answered ready. */
  readyMs: number
  /** Resolves with the exit code, or the name of the signal, once all that it said is in `lines` and `errors`. */
  exited: Promise<number | string>
  /** The lines of stdout so far; none unless it is a pipe. */
  lines: string[]
  /** The text of stderr so far. */
  errors(): string
  status(path: string): Promise<number>
  metrics(): Promise<Samples>
  /** Resident bytes, by the kernel. */
  rss(): number
  descriptors(): number
}

export interface ProgramOptions {
  stdio?: StdioOptions
  /** The prefix of its command line: `prlimit`, `ip netns exec`. */
  under?: string[]
  /** YAML for the top level: `drain: { ... }`. */
  top?: string
  /** Ports to reuse. */
  ports?: number[]
  /** The host of the health server, and whether to ask it at all. */
  isAsked?: boolean
}

/** Listeners as YAML less their addresses, each on a free port of 127.0.0.1. Resolves once it is ready. */
export async function runProgram(
  t: Test,
  listeners: string[],
  options: ProgramOptions = {},
): Promise<Program> {
  const { stdio = ['ignore', 'pipe', 'pipe'], under = [] } = options
  const [healthPort = 0, adminPort, ...ports] = options.ports ?? freePorts(2 + listeners.length)
  const yaml = `${options.top ?? ''}\nhealth: { address: "127.0.0.1:${healthPort}" }\nadmin: { address: "127.0.0.1:${adminPort}" }\nlisteners:\n${listeners
    .map((listener, nth) => `  - { name: l${nth}, address: "127.0.0.1:${ports[nth]}", ${listener} }\n`)
    .join('')}`
  return runFile(t, configFile(t, yaml), {
    ...options,
    stdio,
    under,
    ports: [healthPort, adminPort ?? 0, ...ports],
  })
}

export async function runFile(t: Test, file: string, options: ProgramOptions = {}): Promise<Program> {
  const { stdio = ['ignore', 'pipe', 'pipe'], under = [], ports = [0, 0], isAsked = true } = options
  const command = [...under, process.execPath, await build(), 'run', '-c', file]
  const start = performance.now()
  const child = spawn(command[0]!, command.slice(1), { stdio, env: plainEnv() })
  const lines: string[] = []
  let rest = ''
  let errors = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const pieces = (rest + text).split('\n')
    rest = pieces.pop()!
    lines.push(...pieces)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const exited = new Promise<number | string>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal ?? '')),
  )
  t.teardown(async () => {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await exited
  })
  const [healthPort = 0, adminPort = 0, ...listening] = ports
  const pid = child.pid!
  const program: Program = {
    child,
    pid,
    port: listening[0] ?? 0,
    ports: listening,
    healthPort,
    adminPort,
    readyMs: 0,
    exited,
    lines,
    errors: () => errors,
    status: async (path) => (await get(healthPort, path)).status,
    metrics: async () => readSamples((await get(healthPort, '/metrics')).body),
    rss: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024,
    descriptors: () => Number(/^FDSize:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
  }
  if (!isAsked) return program
  const isReady = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${errors}`)
    return (await program.status('/readyz').catch(() => 0)) === 200
  }
  await eventually(isReady, { withinMs: 60_000, what: 'the program to be ready' })
  program.readyMs = performance.now() - start
  return program
}

export async function get(port: number, path: string): Promise<{ status: number; body: string }> {
  return within(
    new Promise((resolve, reject) => {
      const request = http.get(
        { port, path, host: '127.0.0.1', agent: false, timeout: 15_000 },
        (response) => {
          let body = ''
          response.setEncoding('utf8').on('data', (text: string) => (body += text))
          response.on('end', () => resolve({ status: response.statusCode ?? 0, body })).on('error', reject)
        },
      )
      request.on('error', reject).on('timeout', () => request.destroy(new Error('no answer')))
    }),
    { what: path },
  )
}
