// The order in which sentinels are asked for their server. ioredis asks them in the order of its list, from
// the first at each attempt. One that does not answer (its host is gone, often with the server that it
// watched) would take all the time of each attempt, and one that still names the former server would lead
// each of them there, while the others know better.

export interface Sentinel {
  host: string
  port: number
}

export class SentinelOrder {
  #all: readonly Sentinel[]

  constructor(all: readonly Sentinel[]) {
    this.#all = all
  }

  get all(): readonly Sentinel[] {
    return this.#all
  }

  /** It is the last to be asked again, until a server that it has named has answered. */
  asked(sentinel: Sentinel): void {
    this.#move(sentinel, (own, others) => [...others, own])
  }

  /** The server that it has named has answered. */
  proved(sentinel: Sentinel): void {
    this.#move(sentinel, (own, others) => [own, ...others])
  }

  /** Those that only ioredis knows, from another sentinel, have no place here. */
  #move(sentinel: Sentinel, place: (own: Sentinel, others: Sentinel[]) => Sentinel[]): void {
    const isIt = ({ host, port }: Sentinel): boolean => host === sentinel.host && port === sentinel.port
    const own = this.#all.find(isIt)
    if (own !== undefined)
      this.#all = place(
        own,
        this.#all.filter((one) => one !== own),
      )
  }
}
