// An upstream whose backlog is full: a connect to it hangs until the test lets it accept.

import type { Test } from 'tap'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { within } from './eventually.ts'

// Byte 0 of TCP_INFO is the state; 2 is SYN_SENT. The kernel repeats a SYN that it dropped after a second.
const program = `
import hashlib, json, socket, sys
server = socket.socket()
server.bind(('127.0.0.1', 0))
server.listen(0)
waiting = []
while not waiting or waiting[-1].getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 2:
    waiting.append(socket.socket())
    waiting[-1].setblocking(False)
    waiting[-1].connect_ex(server.getsockname())
print(server.getsockname()[1], flush=True)
if not sys.stdin.readline(): sys.exit()
ours = {s.getsockname() for s in waiting}
for s in waiting: s.close()
while True:
    s, peer = server.accept()
    if peer in ours: continue
    count, sha = 0, hashlib.sha256()
    while True:
        piece = s.recv(65536)
        if not piece: break
        count += len(piece)
        sha.update(piece)
    s.close()
    print(json.dumps(dict(bytes=count, sha256=sha.hexdigest())), flush=True)
    break
sys.stdin.read()
`

export interface SlowAccept {
  port: number
  accept(): void
  /** Every byte of the accepted connection, once it has ended. */
  received: Promise<{ bytes: number; sha256: string }>
}

export async function slowAccept(t: Test): Promise<SlowAccept> {
  const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exited = once(child, 'close')
  child.stdin.on('error', () => {})
  t.teardown(() => {
    child.kill('SIGKILL')
    return exited
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const port = Number((await within(lines.next(), { what: 'a full backlog' })).value)
  return {
    port,
    accept: () => void child.stdin.write('accept\n'),
    received: lines
      .next()
      .then(({ value }) => JSON.parse(value as string) as { bytes: number; sha256: string }),
  }
}
