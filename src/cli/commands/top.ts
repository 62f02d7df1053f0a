// `sidegate top`: the live connections of a running gate, again every second, the busiest or oldest first. Where the output is
// no terminal it prints them once.

import { sorts } from '../../admin/types.ts'
import type { ConnectionRow, Info, Sort } from '../../admin/types.ts'
import { systemClock } from '../../core/clock.ts'
import { adminOptions, askJson, findGate, nameOf } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { filterOptions, queryOf, sortOf } from './filters.ts'
import { formatAge, formatRows } from './rows.ts'
import { Screen } from './screen.ts'
import { OK } from '../exit-codes.ts'
import { parse, printJson, RefusedError, safe } from './usage.ts'

const REFRESH_MS = 1000
/** More than the tallest terminal. */
const MAX_ROWS = 200

export interface View {
  info: Info
  connections: ConnectionRow[]
}

export async function top(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, ...filterOptions, json: { type: 'boolean', default: false } } })
  const sort = sortOf(values)
  const query = queryOf(values, MAX_ROWS)
  const gate = await findGate(values)
  // Before the screen is taken: a gate that is not there is told of in the usual way.
  const first = await look(gate, query, sort)
  if (values.json) return printJson(first)
  if (!process.stdout.isTTY) {
    process.stdout.write(`${header(gate, first.info, sort).join('\n')}\n\n${formatRows(first.connections).join('\n')}\n`)
    return OK
  }
  await new Top(gate, query, sort, first).run()
  return OK
}

async function look(gate: Gate, query: URLSearchParams, sort: Sort): Promise<View> {
  const sorted = new URLSearchParams(query)
  sorted.set('sort', sort)
  const [info, connections] = await Promise.all([askJson<Info>(gate, '/info'), askJson<ConnectionRow[]>(gate, `/connections?${sorted.toString()}`)])
  return { info, connections }
}

function header(gate: Gate, info: Info, sort: Sort): string[] {
  const counts = (of: Record<string, number>): string => Object.entries(of).map(([name, count]) => `${count} ${name}`).join(', ')
  const detail = info.connections === 0 ? '' : `: ${counts(info.protocols)}; ${counts(info.phases)}`
  return [
    safe(`sidegate ${info.version} at ${nameOf(gate)}, ${info.state}, up ${formatAge(info.uptimeMs)}`),
    safe(`${info.connections} ${info.connections === 1 ? 'connection' : 'connections'}${detail}; sorted by ${sort}`),
  ]
}

const help = 'q quit   left, right or a i b r: sort by age, idle, buffered, rate'

/** The live display: looks, draws, and waits for a key or a second, until it is told to quit. */
class Top {
  readonly #gate: Gate
  readonly #query: URLSearchParams
  readonly #screen = new Screen((key) => this.#onKey(key), () => this.#draw())
  #sort: Sort
  #view: View
  #problem: string | null = null
  #isOver = false
  /** Ends the wait for the next second. */
  #wake: () => void = () => {}

  constructor(gate: Gate, query: URLSearchParams, sort: Sort, first: View) {
    this.#gate = gate
    this.#query = query
    this.#sort = sort
    this.#view = first
  }

  async run(): Promise<void> {
    this.#screen.take()
    try {
      while (!this.#isOver) {
        this.#draw()
        await this.#pause()
        if (!this.#isOver) await this.#look()
      }
    } finally {
      this.#screen.giveBack()
    }
  }

  async #look(): Promise<void> {
    try {
      this.#view = await look(this.#gate, this.#query, this.#sort)
      this.#problem = null
    } catch (error) {
      // What was seen last stays, and the gate may come back.
      if (!(error instanceof RefusedError)) throw error
      this.#problem = error.message
    }
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
    const { info, connections } = this.#view
    const note = this.#problem === null ? help : safe(this.#problem)
    this.#screen.draw([...header(this.#gate, info, this.#sort), note, '', ...formatRows(connections)], 4)
  }

  #onKey(key: string): void {
    const next = sortAfter(key, this.#sort)
    if (key === 'quit') this.#isOver = true
    else if (next === null) return
    else this.#sort = next
    this.#wake()
  }
}

/** Null where the key says nothing about the order. */
function sortAfter(key: string, sort: Sort): Sort | null {
  const step = key === 'right' ? 1 : key === 'left' ? -1 : 0
  if (step !== 0) return sorts[(sorts.indexOf(sort) + step + sorts.length) % sorts.length]!
  return sorts.find((one) => one.startsWith(key)) ?? null
}
