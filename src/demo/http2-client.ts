// A client of HTTP/2, by prior knowledge: one that keeps the rules, or one that resets its streams as fast as
// it can.

import http2 from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import net from 'node:net'
import { addressOf } from './clients.ts'
import { sleep } from './sleep.ts'

const HOST = '127.0.0.1'
/** In each millisecond. */
const AT_ONCE = 100

export class Http2Client {
  /** The gate's name for it. */
  readonly address: string
  readonly #session: ClientHttp2Session

  /** Resolves when it is connected. */
  static async open(port: number): Promise<Http2Client> {
    const socket = net.connect({ host: HOST, port, noDelay: true })
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new Http2Client(socket)
  }

  private constructor(socket: net.Socket) {
    this.address = addressOf(socket)
    this.#session = http2.connect('http://demo', { createConnection: () => socket })
    this.#session.on('error', () => {})
  }

  /** Sends so many requests at once; resolves with the number of complete answers with status 200. */
  async ask(count: number): Promise<number> {
    const answers = await Promise.all(Array.from({ length: count }, () => this.#ask()))
    return answers.filter(Boolean).length
  }

  #ask(): Promise<boolean> {
    const stream = this.#session.request({ ':path': '/' })
    let isGood = false
    stream.on('response', ({ ':status': status }) => (isGood = status === 200))
    stream.on('error', () => {})
    stream.resume()
    return new Promise((resolve) => stream.on('close', () => resolve(isGood && stream.rstCode === 0)))
  }

  /** Resolves with the code and the words of the GOAWAY that stops it. */
  resetUntilGoaway(): Promise<string> {
    const session = this.#session
    const goaway = new Promise<string>((resolve) => {
      session.on('goaway', (code, _last, words) => resolve(`GOAWAY ${code} ${String(words ?? '')}`.trimEnd()))
      session.on('close', () => resolve('no GOAWAY'))
    })
    void this.#reset()
    return goaway
  }

  async #reset(): Promise<void> {
    const session = this.#session
    while (!session.closed && !session.destroyed) {
      for (let nth = 0; nth < AT_ONCE && !session.closed && !session.destroyed; nth++) {
        const stream = session.request({ ':path': '/' })
        stream.on('error', () => {})
        stream.close(http2.constants.NGHTTP2_CANCEL)
      }
      await sleep(1)
    }
  }

  /** It sends no further requests. */
  close(): void {
    this.#session.close()
  }
}
