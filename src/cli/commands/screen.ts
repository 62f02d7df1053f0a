// The terminal while a live display owns it: the alternate screen, keys as they are struck, and the guarantee
// that the terminal is restored however the display ends.

const ESCAPE = '\u001b'
const TAKE = '\u001b[?1049h\u001b[?25l'
const GIVE_BACK = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H'
const END_OF_LINE = '\u001b[K'
const END_OF_SCREEN = '\u001b[J'
const INVERSE = '\u001b[7m'
const PLAIN = '\u001b[0m'

const keys: Readonly<Record<string, string>> = {
  q: 'quit',
  '\u0003': 'quit',
  '\u0004': 'quit',
  '\u001b[D': 'left',
  '\u001bOD': 'left',
  '\u001b[C': 'right',
  '\u001bOC': 'right',
  '\u001b[A': 'up',
  '\u001bOA': 'up',
  '\u001b[B': 'down',
  '\u001bOB': 'down',
  '\u001b[5~': 'pageUp',
  '\u001b[6~': 'pageDown',
  '\u001b': 'escape',
  '\r': 'enter',
  '\n': 'enter',
}

/** The bytes of an arrow or a page key, or one character. */
const keyStroke = new RegExp(`(${ESCAPE}[[O][A-D]|${ESCAPE}\\[[56]~|[^])`)

export class Screen {
  readonly #onKey: (key: string) => void
  readonly #onResize: () => void
  readonly #quit: () => void
  #isTaken = false

  /**
   * `onKey` gets `quit`, a key's name (`left`, `enter`, `pageUp`), or the typed character. A signal quits
   * too.
   */
  constructor(onKey: (key: string) => void, onResize: () => void) {
    this.#onKey = onKey
    this.#onResize = onResize
    this.#quit = () => onKey('quit')
  }

  take(): void {
    this.#isTaken = true
    process.stdout.write(TAKE)
    process.stdout.on('resize', this.#onResize)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, this.#quit)
    // However the process ends, the terminal must get its cursor back.
    process.on('exit', this.#onExit)
    if (!process.stdin.isTTY) return
    process.stdin.setRawMode(true)
    process.stdin.setEncoding('utf8').on('data', this.#onData)
  }

  giveBack(): void {
    if (!this.#isTaken) return
    this.#isTaken = false
    process.stdout.off('resize', this.#onResize)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, this.#quit)
    process.off('exit', this.#onExit)
    if (process.stdin.isTTY) {
      process.stdin.off('data', this.#onData)
      process.stdin.setRawMode(false)
      process.stdin.pause()
    }
    process.stdout.write(GIVE_BACK)
  }

  /** A terminal of unknown size reports 0. */
  get columns(): number {
    return process.stdout.columns || 80
  }

  get rows(): number {
    return process.stdout.rows || 24
  }

  /** As many lines as fit, none wider than the screen; those in `marked` (from 0) stand out. */
  draw(lines: readonly string[], marked: readonly number[]): void {
    const { columns, rows } = this
    const shown = lines.slice(0, rows).map((line, nth) => {
      const text = line.slice(0, columns)
      return marked.includes(nth)
        ? `${INVERSE}${text.padEnd(columns)}${PLAIN}`
        : `${text}${text.length < columns ? END_OF_LINE : ''}`
    })
    process.stdout.write(`${HOME}${shown.join('\r\n')}${END_OF_SCREEN}`)
  }

  readonly #onData = (text: string | Buffer): void => {
    // Keys that are struck fast come in one piece.
    for (const key of String(text).split(keyStroke)) if (key !== '') this.#onKey(keys[key] ?? key)
  }

  readonly #onExit = (): void => this.giveBack()
}
