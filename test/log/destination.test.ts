import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs'
import { PassThrough } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { test, type Test } from 'tap'
import { fileDestination, streamDestination } from '../../src/log/destination.ts'

const child = fileURLToPath(new URL('./child/log-child.ts', import.meta.url))

/** Runs the child on a terminal that nobody reads, and passes on what it says. */
const holdTerminal = `
import pty, subprocess, sys
held, terminal = pty.openpty()
run = subprocess.Popen([sys.argv[1], sys.argv[2], '50000'], stdin=subprocess.DEVNULL, stdout=terminal, stderr=subprocess.PIPE)
try:
    print(run.communicate(timeout=10)[1].decode())
except subprocess.TimeoutExpired:
    run.kill()
    print('blocked')
`

interface Report {
  dropped: number
  queuedBytes: number
  slowestTurnMs: number
}

/** Runs the child, which logs `lines` lines, and resolves with what it says of itself on stderr. */
function run(
  t: Test,
  lines: number,
  stdout: 'pipe' | number,
): { process: ChildProcess; report: Promise<Report> } {
  const started = spawn(process.execPath, [child, String(lines)], { stdio: ['ignore', stdout, 'pipe'] })
  t.teardown(() => started.kill('SIGKILL'))
  let said = ''
  started.stderr?.on('data', (chunk) => (said += String(chunk)))
  const report = new Promise<Report>((resolve, reject) => {
    started.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(said) as Report)
      else reject(new Error(`exit ${code}: ${said}`))
    })
  })
  return { process: started, report }
}

test('a file gets every line, and each parses', async (t) => {
  const path = `${t.testdir()}/log`
  const fd = openSync(path, 'w')
  const { report } = run(t, 5000, fd)
  t.equal((await report).dropped, 0)
  closeSync(fd)
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  t.same(
    lines.map((line) => (JSON.parse(line) as { index: number }).index),
    Array.from({ length: 5000 }, (_, index) => index),
  )
})

test(
  'a full disk does not end the process: lines are dropped and counted',
  { skip: existsSync('/dev/full') ? false : 'no /dev/full' },
  async (t) => {
    const fd = openSync('/dev/full', 'w')
    t.teardown(() => closeSync(fd))
    const { report } = run(t, 5000, fd)
    t.equal((await report).dropped, 5000)
  },
)

test('a stalled reader costs the bound, stops nothing and does not hold the exit', async (t) => {
  const { process: stalled, report } = run(t, 50_000, 'pipe')
  stalled.stdout?.pause()
  stalled.stdout?.on('close', () => {})
  // 'close' of the child waits for its stdout to be read, so what the pipe holds is read once it has exited.
  stalled.on('exit', () => stalled.stdout?.resume())
  const { dropped, queuedBytes, slowestTurnMs } = await report
  t.ok(dropped > 0, `dropped ${dropped}`)
  t.ok(queuedBytes <= 1024 * 1024, `queued ${queuedBytes}`)
  t.ok(slowestTurnMs < 2000, `slowest turn ${slowestTurnMs} ms`)
})

test(
  'a terminal that is held stops nothing either',
  { skip: hasPython() ? false : 'no python3, which makes the terminal' },
  async (t) => {
    const holder = spawn('python3', ['-c', holdTerminal, process.execPath, child], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    t.teardown(() => holder.kill('SIGKILL'))
    let said = ''
    holder.stdout.on('data', (chunk) => (said += String(chunk)))
    await new Promise((resolve) => holder.on('close', resolve))
    t.ok((JSON.parse(said) as Report).dropped > 0, said)
  },
)

test('a reader that went away does not end the process', async (t) => {
  const { process: orphan, report } = run(t, 5000, 'pipe')
  orphan.stdout?.destroy()
  t.ok((await report).dropped > 0)
})

test('a stream that fails tells its callback, and the next batch is tried', async (t) => {
  const stream = new PassThrough()
  const destination = streamDestination(stream)
  t.equal(await written(destination), null)
  stream.destroy()
  t.match(await written(destination), { code: 'ERR_STREAM_DESTROYED' })
  t.match(await written(destination), { code: 'ERR_STREAM_DESTROYED' })
})

test('a descriptor that cannot be written tells the error', async (t) => {
  const fd = openSync('/dev/null', 'r')
  t.teardown(() => closeSync(fd))
  t.match(await written(fileDestination(fd)), { code: 'EBADF' })
})

function written(destination: ReturnType<typeof fileDestination>): Promise<Error | null> {
  return new Promise((resolve) => destination.write('line\n', resolve))
}

function hasPython(): boolean {
  return spawnSync('python3', ['--version']).status === 0
}
