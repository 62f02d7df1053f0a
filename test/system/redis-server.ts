// A redis-server of its own for a test, on loopback, with nothing on disk.

import type { Test } from 'tap'
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import type { RedisTarget } from '../../src/fleet/redis.ts'
import { freePort } from '../support/free-port.ts'
import { whenListening, temporary } from '../support/tools.ts'

/** The way to one server in the clear, as its default user. */
export const plainTarget: Omit<RedisTarget, 'addresses'> = {
  kind: 'server',
  master: 'mymaster',
  user: null,
  passwordFile: null,
  sentinelUser: null,
  sentinelPasswordFile: null,
  sentinelTls: null,
  database: 0,
  tls: null,
}

export class RedisServer {
  readonly port: number
  readonly #command: readonly string[]
  #process: ChildProcess | null = null

  /** `PORT` among its arguments is the port. `first` come before all others, and are the file of a sentinel. */
  constructor(port: number, directory: string, args: readonly string[], first: readonly string[] = []) {
    this.port = port
    const common = [
      '--port',
      'PORT',
      '--bind',
      '127.0.0.1',
      '--dir',
      directory,
      '--save',
      '',
      '--appendonly',
      'no',
    ]
    const all =
      first.length > 0 ? [...first, '--port', 'PORT', '--bind', '127.0.0.1', ...args] : [...common, ...args]
    this.#command = all.map((arg) => (arg === 'PORT' ? String(port) : arg))
  }

  async start(): Promise<this> {
    this.#process = spawn('redis-server', this.#command, { stdio: 'ignore' })
    await whenListening(this.port, { withinMs: 30_000 })
    return this
  }

  /** SIGSTOP holds it, SIGCONT lets it go on, SIGKILL ends it with all its data. */
  async signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGKILL'): Promise<void> {
    const running = this.#process
    if (running === null || running.exitCode !== null || running.signalCode !== null) return
    const gone = signal === 'SIGKILL' ? once(running, 'exit') : null
    running.kill(signal)
    await gone
  }

  /**
   * Runs redis-cli, and resolves with its output. The process goes on meanwhile: gates and clients of tests beside this one, which would
   * miss answers of their Redis otherwise.
   */
  async cli(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('redis-cli', ['-p', String(this.port), ...args])
    return stdout.trim()
  }
}

/**
 * Asks over a connection, for what lasts a second or two: redis-cli, which starts a process for each question, takes as long on a busy machine.
 * Resolves with the elements of the answer as text.
 */
export function asker(
  t: Test,
  { port }: RedisServer,
): (...words: [string, ...string[]]) => Promise<string[]> {
  const connection = new Redis({ port, host: '127.0.0.1' })
  t.teardown(() => connection.disconnect())
  return async (...words) => [await connection.call(...words)].flat().map(String)
}

/** Ends with the test. */
export function redisServer(t: Test, ...args: string[]): Promise<RedisServer> {
  const server = new RedisServer(freePort(), temporary(t), args)
  t.teardown(() => server.signal('SIGKILL'))
  return server.start()
}

/** A way to `redis` on which each of its answers takes so many ms longer; returns its port. */
export async function longWay(t: Test, redis: RedisServer, ms: number | (() => number)): Promise<number> {
  const relays = net.createServer((near) => {
    const far = net.connect(redis.port, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on('error', () => {}).on('close', () => other.destroy())
    near.pipe(far)
    let before = Promise.resolve()
    far.on('data', (bytes) => {
      const due = delay(typeof ms === 'number' ? ms : ms())
      before = before.then(() => due).then(() => void near.write(bytes))
    })
  })
  t.teardown(() => relays.close())
  await once(relays.listen(0, '127.0.0.1'), 'listening')
  return (relays.address() as net.AddressInfo).port
}
