// Peers that need a process of their own: for abilities that Node's sockets lack, or for a stop by signal.

import type { Test } from 'tap'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { eventually, within, type Wait } from './eventually.ts'

type Child = ChildProcessByStdio<Writable, Readable, null>

interface Running {
  child: Child
  exited: Promise<void>
}

/** Runs it until the test ends; each line of its stdout goes to `onLine`. It must exit when its stdin ends. */
function run(t: Test, command: string, args: string[], onLine: (line: string) => void): Running {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.stdin.on('error', () => {})
  createInterface({ input: child.stdout }).on('line', onLine)
  t.teardown(() => {
    child.kill('SIGKILL')
    return exited
  })
  return { child, exited }
}

/** Runs a peer whose first line of output is the port that it listens on. */
async function runListener(
  t: Test,
  command: string,
  args: string[],
): Promise<{ child: Child; port: number }> {
  const first = Promise.withResolvers<string>()
  const { child, exited } = run(t, command, args, first.resolve)
  const ended = exited.then(() => Promise.reject<string>(new Error(`${command} ended before it listened`)))
  ended.catch(() => {})
  return {
    child,
    port: Number(await within(Promise.race([first.promise, ended]), { what: 'a child to listen' })),
  }
}

const echoProgram = `
  const server = require('net').createServer({ allowHalfOpen: true }, (s) => s.on('error', () => {}).pipe(s))
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
  process.stdin.resume().on('end', () => process.exit())
`

export interface Frozen {
  port: number
  pid: number
  /** SIGSTOP; resolves when the process has stopped. Its kernel still accepts, acknowledges and buffers. */
  freeze(): Promise<void>
  /** SIGCONT. */
  thaw(): void
  /** SIGKILL: FIN to its peers, or RST to those whose bytes it has not read. */
  kill(): Promise<void>
}

/** An echo server in a process that a test can stop and wake. */
export async function frozen(t: Test): Promise<Frozen> {
  const { child, port } = await runListener(t, process.execPath, ['-e', echoProgram])
  const pid = child.pid!
  const state = () => readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]![0]
  return {
    port,
    pid,
    freeze: async () => {
      child.kill('SIGSTOP')
      await eventually(() => state() === 'T', { what: 'a stopped process' })
    },
    thaw: () => void child.kill('SIGCONT'),
    kill: async () => {
      const closed = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGKILL')
      await closed
    },
  }
}

const slowTlsProgram = `
import select, socket, ssl, sys
side, port, *files = sys.argv[1:]
if side == 'client':
    plain = socket.create_connection(('127.0.0.1', int(port)))
    wire = ssl.create_default_context(cafile=files[0]).wrap_socket(plain, server_hostname='localhost')
    wire.sendall(bytes.fromhex(files[1]))
    print(port, flush=True)
else:
    server = socket.create_server(('127.0.0.1', 0))
    print(server.getsockname()[1], flush=True)
    wire = server.accept()[0]
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        wire = context.wrap_socket(wire, server_side=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    wire.recv(4096)
sys.stdin.readline()
sys.stdin.read()
`

export interface SlowTls {
  port: number
  /** It reads nothing more. */
  stop(): void
}

/**
 * A peer of TLS that reads a record of its kernel at a time, and 80 KB a second. A client, given the file of an authority and its first bytes in hex,
 * or a service, given the files of its certificate, or none for one in the clear.
 */
export async function slowTls(
  t: Test,
  side: 'client' | 'service',
  port: number,
  files: string[],
): Promise<SlowTls> {
  const { child, port: its } = await runListener(t, 'python3', [
    '-c',
    slowTlsProgram,
    side,
    String(port),
    ...files,
  ])
  return { port: its, stop: () => void child.stdin.write('stop\n') }
}

// Byte 0 of TCP_INFO is the state; 2 is SYN_SENT. On loopback a connect that succeeds has done so when the call returns.
const backlogProgram = `
import socket, sys
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(0)
waiting = []
while not waiting or waiting[-1].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 2:
    waiting.append(socket.socket())
    waiting[-1].setblocking(False)
    waiting[-1].connect_ex(server.getsockname())
print(server.getsockname()[1], flush=True)
sys.stdin.read()
`

/** Listens, never accepts, and its backlog is full: a connect to it hangs, as to a blackholed address. */
export async function backlogFull(t: Test): Promise<{ port: number }> {
  const { port } = await runListener(t, 'python3', ['-c', backlogProgram])
  return { port }
}

export interface SlowReader {
  /** Its own port, by which a test finds it among a gate's clients. */
  port: number
  /** Bytes read, as of its last report: after a `read`, after each interval of a trickle, at the end. */
  readonly bytes: number
  /** SHA-256 of those. */
  readonly sha256: string
  send(bytes: Uint8Array | string): void
  /** Reads `n` more bytes and resolves when it has. */
  read(n: number, wait?: Wait): Promise<void>
  /** Reads `bytes` in each interval from here on. */
  trickle(bytes: number, everyMs: number): void
  /** Reads all from here on, as fast as it comes. */
  drain(): void
  end(): void
  reset(): void
  /** The peer's FIN arrived, read or not. It cannot arrive while unread bytes fill the window. */
  readonly finArrived: Promise<void>
  /** fin: it read all bytes to the end. reset: RST arrived, which it sees even while it reads nothing. */
  readonly closed: Promise<{ kind: 'fin' | 'reset'; code: string | null }>
}

export interface SlowReaderOptions {
  /** SO_RCVBUF; the kernel doubles it, and does not go below about 2 KiB. */
  rcvbuf?: number
}

interface Report {
  what: 'connected' | 'read' | 'fin' | 'end' | 'reset'
  bytes: number
  sha256: string
  port?: number
  errno?: number
}

const slowReaderProgram = fileURLToPath(new URL('slow-reader.py', import.meta.url))
const errnoNames: Record<number, string> = { 32: 'EPIPE', 104: 'ECONNRESET', 110: 'ETIMEDOUT' }

/** A client that reads nothing until the test says so, with a receive buffer so small that its stall takes effect at once. */
export async function slowReader(
  t: Test,
  port: number,
  options: SlowReaderOptions = {},
): Promise<SlowReader> {
  const { rcvbuf = 4096 } = options
  let last: Report = { what: 'connected', bytes: 0, sha256: '' }
  let asked = 0
  const connected = Promise.withResolvers<Report>()
  const fin = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<{ kind: 'fin' | 'reset'; code: string | null }>()
  const { child, exited } = run(t, 'python3', [slowReaderProgram, String(port), String(rcvbuf)], (line) => {
    last = JSON.parse(line) as Report
    if (last.what === 'connected') connected.resolve(last)
    if (last.what === 'fin' || last.what === 'end') fin.resolve()
    if (last.what === 'end') closed.resolve({ kind: 'fin', code: null })
    if (last.what === 'reset')
      closed.resolve({ kind: 'reset', code: errnoNames[last.errno ?? 0] ?? String(last.errno) })
  })
  void exited.then(() => connected.reject(new Error(`the slow reader could not connect to ${port}`)))
  const tell = (command: string) => void child.stdin.write(`${command}\n`)
  return {
    port: (await within(connected.promise, { what: 'the slow reader to connect' })).port!,
    get bytes() {
      return last.bytes
    },
    get sha256() {
      return last.sha256
    },
    send: (bytes) => tell(`send ${Buffer.from(bytes).toString('hex')}`),
    read: async (n, wait) => {
      asked += n
      tell(`read ${n}`)
      await eventually(() => last.bytes >= asked, { what: `${asked} bytes at the slow reader`, ...wait })
    },
    trickle: (bytes, everyMs) => tell(`trickle ${bytes} ${everyMs}`),
    drain: () => tell('drain'),
    end: () => tell('end'),
    reset: () => tell('reset'),
    finArrived: fin.promise,
    closed: closed.promise,
  }
}

export interface TrickleOptions extends SlowReaderOptions {
  bytes: number
  everyMs: number
}

/** A client that reads `bytes` in each interval, and no more, from the start. */
export async function trickleReader(t: Test, port: number, options: TrickleOptions): Promise<SlowReader> {
  const reader = await slowReader(t, port, options)
  reader.trickle(options.bytes, options.everyMs)
  return reader
}
