// Clients of a Service, each of which reports every break: a connection that ends without an announcement, a request without an
// answer, a refusal. A client that the gate asks to go reconnects, as real clients do.

import net from 'node:net'
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'

/** The pod that gets the next connection, or null while there is none. */
export type Choose = () => string | null

export interface Client {
  /** The number of answers and echoes. */
  done(): number
  /** How often the gate asked it to go, in the words of its protocol. */
  partings: string[]
  /** Breaks, which must not happen. */
  losses: string[]
  stop(): Promise<void>
}

type Life = Pick<Client, 'partings' | 'losses'> & { isOver: boolean; done: number }

function client(choose: Choose, visit: (host: string, life: Life) => Promise<void>): Client {
  const life: Life = { partings: [], losses: [], isOver: false, done: 0 }
  const work = (async (): Promise<void> => {
    while (!life.isOver) {
      const host = choose()
      if (host !== null) await visit(host, life)
      await sleep(20)
    }
  })()
  return {
    partings: life.partings,
    losses: life.losses,
    done: () => life.done,
    async stop() {
      life.isOver = true
      await work
    },
  }
}

const PAUSE_MS = 20

/** One request after the other on a kept connection, until an answer says that it was the last. */
export function requester(choose: Choose, port: number): Client {
  return client(choose, async (host, life) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    let isLast = false
    while (!life.isOver && !isLast) {
      isLast = await request({ host, port, agent }, life)
      await sleep(PAUSE_MS)
    }
    agent.destroy()
  })
}

/** Resolves true if the connection ends after the answer. */
function request(to: { host: string; port: number; agent: http.Agent }, life: Life): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = http.get({ ...to, path: '/work' }, (answer) => {
      const isLast = answer.headers.connection === 'close'
      if (answer.statusCode !== 200) life.losses.push(`status ${answer.statusCode}`)
      answer.resume().once('end', () => {
        life.done++
        if (isLast) life.partings.push('Connection: close')
        resolve(isLast)
      })
    })
    asked.once('error', (error: NodeJS.ErrnoException) => {
      // The gate may end a kept connection between two requests: a request that meets the end is repeated, and nothing is lost.
      if (asked.reusedSocket && error.code === 'ECONNRESET') life.partings.push('ended while idle')
      else life.losses.push(`a request: ${error.code ?? error.message}`)
      resolve(true)
    })
  })
}

/** A message, its echo, a pause, and so on, until the gate asks it to go. */
export function talker(choose: Choose, port: number): Client {
  return client(choose, async (host, life) => {
    const socket = new WebSocket(`ws://${host}:${port}/`)
    const timer = setInterval(() => {
      if (life.isOver) socket.close(1000)
      else if (socket.readyState === WebSocket.OPEN) socket.send('hello')
    }, PAUSE_MS)
    socket.on('message', () => life.done++)
    socket.on('error', (error) => life.losses.push(`a WebSocket: ${error.message}`))
    await new Promise<void>((resolve) =>
      socket.once('close', (code, reason) => {
        if (code === 1012) life.partings.push(`1012 ${reason.toString()}`)
        else if (code !== 1000 || !life.isOver) life.losses.push(`closed with ${code} ${reason.toString()}`)
        resolve()
      }),
    )
    clearInterval(timer)
  })
}

/** A line and its echo, on a connection that the other side ends in order. */
export function liner(choose: Choose, port: number): Client {
  return client(choose, async (host, life) => {
    const socket = net.connect({ host, port })
    const timer = setInterval(() => (life.isOver ? socket.end() : socket.write('line\n')), PAUSE_MS)
    socket.on('data', (bytes: Buffer) => (life.done += bytes.length / 5))
    socket.once('end', () => {
      clearInterval(timer)
      if (!life.isOver) life.partings.push('FIN')
    })
    socket.on('error', (error: NodeJS.ErrnoException) =>
      life.losses.push(`tcp: ${error.code ?? error.message}`),
    )
    await new Promise<void>((resolve) => socket.once('close', () => resolve()))
    clearInterval(timer)
  })
}
