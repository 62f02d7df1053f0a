import { test } from 'tap'
import type { Test } from 'tap'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { KernelQueue, kernelQueue } from '../../src/endpoint/kernel-queue.ts'
import type { Ends, TableFile } from '../../src/endpoint/kernel-table.ts'
import { eventually } from '../support/eventually.ts'

const TCP = '/proc/self/net/tcp'
const TCP6 = '/proc/self/net/tcp6'
const HEAD = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n'

/** The most of one read, as the kernel gives it. */
const PAGE = 4050

/** Two sockets of ours: port 8080 of 127.0.0.1 to 41652, and of ::1 to 41653. */
const ours: Ends = {
  localAddress: '127.0.0.1',
  localPort: 8080,
  remoteAddress: '127.0.0.1',
  remotePort: 41652,
}
const ours6: Ends = { localAddress: '::1', localPort: 8080, remoteAddress: '::1', remotePort: 41653 }
const line = '   0: 0100007F:1F90 0100007F:A2B4 01 00000012:00000000 00:00000000 00000000 0\n'
const theirs = '   1: 0100007F:A2B4 0100007F:1F90 01 00000000:00000003 00:00000000 00000000 0\n'
const line6 =
  '   0: 00000000000000000000000001000000:1F90 00000000000000000000000001000000:A2B5 01 00000007:00000000 00:00000000 00000000 0\n'

function errno(code: string): Error {
  return Object.assign(new Error(code), { code })
}

/** Tables with the test's content; an Error in place of the text is the result of opening it. */
function setUp(tables: Record<string, string | Error>) {
  let now = 0
  const opened: string[] = []
  const file = (path: string): TableFile => {
    const readSync = (buffer: Buffer, position: number): number => {
      const end = position + Math.min(buffer.length, PAGE)
      return buffer.write((tables[path] as string).slice(position, end), 'latin1')
    }
    return { readSync, read: async (buffer, position) => readSync(buffer, position) }
  }
  const queue = new KernelQueue({
    now: () => now,
    open: async (path) => {
      opened.push(path)
      const table = tables[path]!
      if (table instanceof Error) throw table
      return file(path)
    },
  })
  /** The report of the next look; null for none. */
  async function look(ends: Ends): Promise<number | null | 'does not tell'> {
    now += 10_000
    let reported: number | null = null
    if (!queue.measure(ends, (bytes) => (reported = bytes))) return 'does not tell'
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
    return reported
  }
  return { queue, opened, look, at: (ms: number) => (now = ms) }
}

test('what the peer has not acknowledged and, in the same namespace, not read is what the kernel holds for it', async (t) => {
  const { look } = setUp({ [TCP]: HEAD + line + theirs, [TCP6]: HEAD + line6 })
  t.equal(await look(ours), 0x12 + 3)
  t.equal(await look(ours6), 7)
})

test('the FIN of a peer shows, whatever is unread, and not that of another socket', async (t) => {
  const tables = { [TCP]: HEAD + line + theirs, [TCP6]: HEAD }
  const { queue, look } = setUp(tables)
  const told: boolean[] = []
  const ask = async (): Promise<void> => {
    queue.measure(ours, (_bytes, _unread, hasEnded) => told.push(hasEnded))
    await look(ours6)
  }
  await ask()
  tables[TCP] = HEAD + line + theirs.replace(' 01 ', ' 08 ')
  await ask()
  tables[TCP] = HEAD + line.replace(' 01 ', ' 08 ') + theirs
  await ask()
  tables[TCP] = HEAD
  await ask()
  t.same(told, [false, false, true, true])
})

test('a line that comes twice, since sockets came and went while the table was read, counts once', async (t) => {
  const { look } = setUp({ [TCP]: HEAD + line + theirs + line + theirs, [TCP6]: HEAD })
  t.equal(await look(ours), 0x12 + 3)
})

test('a line that is passed over once is as it was; twice, it is gone', async (t) => {
  const tables = { [TCP]: HEAD + line + theirs, [TCP6]: HEAD }
  const { look } = setUp(tables)
  t.equal(await look(ours), 0x12 + 3)
  tables[TCP] = HEAD + line
  t.equal(await look(ours), 0x12 + 3)
  t.equal(await look(ours), 0x12)
  tables[TCP] = HEAD + theirs
  t.equal(await look(ours), 0x12 + 3)
  tables[TCP] = HEAD
  t.equal(await look(ours), 3)
  t.equal(await look(ours), 0)
})

test('sockets in TIME_WAIT hold nothing, whatever their lines say, and are told by their state alone', async (t) => {
  const waiting = (text: string): string => text.replace(' 01 ', ' 06 ').replace(/ 000000\d\d:/, ' 00000099:')
  const { look } = setUp({
    [TCP]: HEAD + waiting(line) + line + waiting(line) + theirs,
    [TCP6]: HEAD + waiting(line6) + line6 + waiting(line6),
  })
  t.equal(await look(ours), 0x12 + 3)
  t.equal(await look(ours6), 7)
  const ports = { ...ours, remotePort: 6, localPort: 0x0606 }
  const odd = line.replace('1F90', '0606').replace('A2B4', '0006')
  t.equal(await setUp({ [TCP]: HEAD + odd, [TCP6]: HEAD }).look(ports), 0x12)
})

test('a socket that is listed nowhere holds nothing any more', async (t) => {
  const { look } = setUp({ [TCP]: HEAD, [TCP6]: HEAD })
  t.equal(await look(ours), 0)
})

test('lines that are cut by the end of a read are put together', async (t) => {
  for (const before of [0, 1, 5, 12, 40, line.length - 1]) {
    const other = `${'y'.repeat(PAGE - HEAD.length - 1 - before)}\n`
    const { look } = setUp({ [TCP]: HEAD + other + line, [TCP6]: HEAD })
    t.equal(await look(ours), 0x12, `${before} bytes in the first of two reads`)
  }
  const many = '   9: 0200007F:0001 0200007F:0002 01 00000001:00000000 0\n'.repeat(3000)
  t.equal(await setUp({ [TCP]: HEAD + many + line, [TCP6]: HEAD }).look(ours), 0x12)
})

for (const code of ['EMFILE', 'ENFILE', 'EACCES', 'EIO']) {
  test(`${code} is one look that is lost, and counted: the next one tells`, async (t) => {
    const tables: Record<string, string | Error> = { [TCP]: errno(code), [TCP6]: errno(code) }
    const { queue, look } = setUp(tables)
    t.equal(await look(ours), null, 'unknown, which is no progress')
    t.equal(queue.lost, 1)
    tables[TCP] = HEAD + line
    tables[TCP6] = HEAD
    t.equal(await look(ours), 0x12)
    t.equal(queue.lost, 1)
  })
}

test('where one table cannot be read, what was found in the other is reported, and what was not found is unknown', async (t) => {
  const { queue, look } = setUp({ [TCP]: HEAD + line, [TCP6]: errno('EMFILE') })
  t.equal(await look(ours), 0x12)
  t.equal(await look(ours6), null)
  t.equal(queue.lost, 2)
})

test('where there is no table of IPv6, IPv4 is told, what is not listed is unknown, and no look is lost', async (t) => {
  const { queue, look, opened } = setUp({ [TCP]: HEAD + line, [TCP6]: errno('ENOENT') })
  t.equal(await look(ours), 0x12)
  t.equal(await look(ours6), null)
  t.equal(await look({ ...ours, remotePort: 1 }), null)
  t.equal(queue.lost, 0)
  t.same(opened, [TCP, TCP6], 'and it is not looked for again')
})

test('only where every table is missing the system does not tell', async (t) => {
  const { queue, look } = setUp({ [TCP]: errno('ENOENT'), [TCP6]: errno('ENOENT') })
  t.equal(await look(ours), null)
  t.equal(await look(ours), 'does not tell')
  t.equal(queue.lost, 0)
})

test('a unix socket has no such queue', async (t) => {
  const { look } = setUp({ [TCP]: HEAD, [TCP6]: HEAD })
  t.equal(await look({}), 'does not tell')
})

test('the tables are opened once, before they are needed', async (t) => {
  const { queue, look, opened } = setUp({ [TCP]: HEAD + line, [TCP6]: HEAD })
  await queue.prepare()
  t.same(opened, [TCP, TCP6])
  for (let i = 0; i < 3; i++) t.equal(await look(ours), 0x12)
  t.same(opened, [TCP, TCP6])
})

test('a look is made for all who ask, and the next one not before its time', async (t) => {
  const { queue, at } = setUp({ [TCP]: HEAD + line, [TCP6]: HEAD + line6 })
  const reports: string[] = []
  const ask = async (): Promise<void> => {
    queue.measure(ours, (bytes) => void reports.push(`one ${bytes}`))
    queue.measure(ours6, (bytes) => void reports.push(`other ${bytes}`))
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  }
  await ask()
  t.same(reports, ['one 18'], 'who asks during a look is in the next')
  at(99)
  await ask()
  t.equal(reports.length, 1)
  at(100)
  await ask()
  t.same(reports.slice(1).sort(), ['one 18', 'other 7'])
})

test('a table of thousands of sockets is read less often, though this thread only skips most of them', async (t) => {
  const waiting = line.replace(' 01 ', ' 06 ').repeat(60_000)
  const { queue, at } = setUp({ [TCP]: HEAD + waiting + line, [TCP6]: HEAD })
  let looks = 0
  const ask = async (): Promise<void> => {
    queue.measure(ours, () => looks++)
    for (let turn = 0; turn < 1000; turn++) await Promise.resolve()
  }
  await ask()
  at(300)
  await ask()
  t.equal(looks, 1)
  at(400)
  await ask()
  t.equal(looks, 2)
})

/** A connection with `sent` bytes under way that no process reads. */
async function stalled(t: Test, host: string, sent: number) {
  const server = net
    .createServer({ pauseOnConnect: true }, (socket) => void socket.on('error', () => {}))
    .listen(0, host)
  await once(server, 'listening')
  const socket = net.connect((server.address() as net.AddressInfo).port, host)
  await once(socket, 'connect')
  socket.write(Buffer.alloc(sent))
  t.teardown(() => {
    socket.destroy()
    server.close()
  })
  return socket
}

for (const host of ['127.0.0.1', '::1']) {
  test(`this kernel tells of a connection over ${host} what its peer has not read`, async (t) => {
    if (!readFileSync(host === '::1' ? TCP6 : TCP, 'latin1').includes('local'))
      return t.comment('no such table here')
    const socket = await stalled(t, host, 12_345)
    let reported = -1
    await eventually(() => kernelQueue.measure(socket, (bytes) => (reported = bytes)) && reported === 12_345)
    t.equal(reported, 12_345)
  })
}
