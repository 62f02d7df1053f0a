// A client of something that is only starting.

import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** Connects to `port` of this machine as soon as something listens there; gives up after five seconds. Later errors are not told. */
export async function connect(port: number): Promise<net.Socket> {
  for (let attempt = 0; ; attempt++) {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    const isConnected = await new Promise<boolean>((resolve) =>
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false)),
    )
    if (isConnected) return socket.on('error', () => {})
    if (attempt > 100) throw new Error(`nothing listens on ${port}`)
    await delay(50)
  }
}
