// The live display of `sidegate top`: looks, draws, and waits for a key or a second, until it quits.
//
//     list --enter--> one --x--> asked --y--> killed
//      |  c: clients   e: recent ends   s: only those in a state         escape goes back

import { sorts, states } from '../../admin/types.ts'
import type { ConnectionDetail, Killed, RecentEnd, Sort } from '../../admin/types.ts'
import { systemClock } from '../../core/clock.ts'
import { askJson } from './admin-client.ts'
import { detailLines } from './connection-detail.ts'
import { hear } from './gates.ts'
import type { NamedGate } from './gates.ts'
import { formatRows } from './rows.ts'
import { Screen } from './screen.ts'
import { clientLines, headLines, recentLines } from './top-lines.ts'
import type { Look, Lookout } from './top-look.ts'
import { RefusedError, safe } from './usage.ts'

const REFRESH_MS = 1000
const helps = {
  list: 'q quit  ↑↓ choose  enter open  x end  ←→ or a i b r sort  s state  c clients  e ended',
  one: 'escape back  x end it  q quit',
  clients: 'escape back  ↑↓ scroll  q quit',
  recent: 'escape back  ↑↓ scroll  q quit',
} as const
type Mode = keyof typeof helps

interface Parts {
  lookout: Lookout
  query: URLSearchParams
  order: Order
  first: Look
}

interface Order {
  sort: Sort
  /** Only connections in that state; null is all. */
  state: string | null
}

/** The part below the head: a table with its titles, or the lines of one connection. */
interface Body {
  titles: string | null
  lines: readonly string[]
}

export class Top {
  readonly #lookout: Lookout
  readonly #query: URLSearchParams
  readonly #screen = new Screen(
    (key) => this.#onKey(key),
    () => this.#draw(),
  )
  #order: Order
  #look: Look
  #mode: Mode = 'list'
  /** The chosen row, and the first visible line. */
  #chosen = 0
  #first = 0
  #opened: { id: number; of: NamedGate; detail: ConnectionDetail | null } | null = null
  #recent: readonly (RecentEnd & { gate?: string })[] = []
  /** The connection to kill, until the user confirms or refuses; and the result of the last kill. */
  #asked: { id: number; client: string; of: NamedGate } | null = null
  #note: string | null = null
  #isOver = false
  /** Ends the wait for the next second. */
  #wake: () => void = () => {}

  constructor({ lookout, query, order, first }: Parts) {
    this.#lookout = lookout
    this.#query = query
    this.#order = order
    this.#look = first
  }

  async run(): Promise<void> {
    this.#screen.take()
    try {
      while (!this.#isOver) {
        this.#draw()
        await this.#pause()
        if (!this.#isOver) await this.#lookAgain()
      }
    } finally {
      this.#screen.giveBack()
    }
  }

  async #lookAgain(): Promise<void> {
    if (this.#order.state === null) this.#query.delete('state')
    else this.#query.set('state', this.#order.state)
    const look = await this.#lookout.look(this.#query, this.#order.sort)
    // The last figures stay, since the gate may come back.
    this.#look = look.gates.every(({ problem }) => problem !== null)
      ? { ...look, rows: this.#look.rows }
      : look
    if (this.#mode === 'recent') this.#recent = await this.#lookout.recent()
    const opened = this.#opened
    if (opened === null) return
    const heard = await hear(askJson<ConnectionDetail>(opened.of.gate, `/connections/${opened.id}`))
    if ('value' in heard) this.#opened = { ...opened, detail: heard.value }
    else this.#note ??= heard.problem
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const cancel = systemClock.after(REFRESH_MS, resolve)
      this.#wake = () => {
        cancel()
        resolve()
      }
    })
  }

  #draw(): void {
    if (this.#isOver) return
    const { titles, lines } = this.#body()
    const head = headLines(this.#lookout.gates, this.#look, this.#order)
    const note =
      this.#asked === null
        ? (this.#note ?? helps[this.#mode])
        : `end connection ${this.#asked.id} of ${this.#asked.client}? y or n`
    const top = [...head, safe(note), '', ...(titles === null ? [] : [titles])]
    const room = Math.max(1, this.#screen.rows - top.length)
    if (this.#mode === 'list') {
      this.#chosen = clamp(this.#chosen, 0, lines.length - 1)
      this.#first = clamp(this.#first, this.#chosen - room + 1, this.#chosen)
    }
    this.#first = clamp(this.#first, 0, lines.length - 1)
    const shown = lines.slice(this.#first, this.#first + room)
    const marks = titles === null ? [] : [top.length - 1]
    if (this.#mode === 'list' && lines.length > 0) marks.push(top.length + this.#chosen - this.#first)
    this.#screen.draw([...top, ...shown], marks)
  }

  #body(): Body {
    if (this.#mode === 'one')
      return {
        titles: null,
        lines: this.#opened?.detail == null ? [] : detailLines(this.#opened.detail).map(safe),
      }
    const [titles = '', ...lines] =
      this.#mode === 'clients'
        ? clientLines(this.#look.rows)
        : this.#mode === 'recent'
          ? recentLines(this.#recent)
          : formatRows(this.#look.rows, this.#screen.columns)
    return { titles, lines }
  }

  #onKey(key: string): void {
    if (key === 'quit') this.#isOver = true
    else if (this.#asked !== null) return this.#onAnswer(key)
    else if (key === 'up' || key === 'down') return this.#move(key === 'up' ? -1 : 1)
    else if (key === 'pageUp' || key === 'pageDown')
      return this.#move((key === 'pageUp' ? -1 : 1) * Math.max(1, this.#screen.rows - 8))
    else if (key === 'escape') this.#goTo('list')
    else if (key === 'x') return this.#askToEnd()
    else if (this.#mode !== 'list' || !this.#onListKey(key)) return
    this.#wake()
  }

  /** Whether the key has a meaning here. */
  #onListKey(key: string): boolean {
    const sort = sortAfter(key, this.#order.sort)
    if (sort !== null) this.#order = { ...this.#order, sort }
    else if (key === 's') this.#order = { ...this.#order, state: stateAfter(this.#order.state) }
    else if (key === 'c') this.#goTo('clients')
    else if (key === 'e') this.#goTo('recent')
    else if (key === 'enter') this.#open()
    else return false
    return true
  }

  #goTo(mode: Mode): void {
    this.#mode = mode
    this.#first = 0
    this.#note = null
    if (mode !== 'one') this.#opened = null
  }

  #move(by: number): void {
    this.#note = null
    if (this.#mode === 'list') this.#chosen = Math.max(0, this.#chosen + by)
    else this.#first = Math.max(0, this.#first + by)
    this.#draw()
  }

  #open(): void {
    const row = this.#look.rows[this.#chosen]
    if (row === undefined) return
    this.#goTo('one')
    this.#opened = { id: row.id, of: row.of, detail: null }
  }

  #askToEnd(): void {
    const row = this.#mode === 'list' ? this.#look.rows[this.#chosen] : undefined
    const detail = this.#opened?.detail
    if (row !== undefined) this.#asked = { id: row.id, client: row.client, of: row.of }
    else if (this.#opened !== null && detail != null)
      this.#asked = { id: detail.id, client: detail.client, of: this.#opened.of }
    this.#draw()
  }

  #onAnswer(key: string): void {
    const asked = this.#asked!
    this.#asked = null
    if (key === 'y') void this.#end(asked)
    else this.#draw()
  }

  async #end({ id, of }: { id: number; of: NamedGate }): Promise<void> {
    try {
      const { close } = await askJson<Killed>(of.gate, `/connections/${id}`, { method: 'DELETE' })
      this.#note =
        close.reason === 'killed'
          ? `connection ${id} was ended`
          : `connection ${id} was ending with ${close.reason}, and was hastened`
    } catch (error) {
      this.#note = error instanceof RefusedError ? error.message : String(error)
    }
    this.#wake()
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(Math.min(value, most), least, 0)
}

/** Null where the key does not change the order. */
function sortAfter(key: string, sort: Sort): Sort | null {
  const step = key === 'right' ? 1 : key === 'left' ? -1 : 0
  if (step !== 0) return sorts[(sorts.indexOf(sort) + step + sorts.length) % sorts.length]!
  return sorts.find((one) => one.startsWith(key)) ?? null
}

/** All, stalled ones, then each state. */
function stateAfter(state: string | null): string | null {
  const cycle = [null, 'stalled', ...states.filter((one) => one !== 'stalled')]
  return cycle[(cycle.indexOf(state) + 1) % cycle.length] ?? null
}
