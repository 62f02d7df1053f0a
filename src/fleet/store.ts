// The store of leases: the part of Redis that they need, without the way to it.

/** One call of a script. */
export interface Command {
  script: 'draw' | 'places' | 'beat'
  key: string
  args: ReadonlyArray<string | number>
}

export type Answer = ReadonlyArray<number | string>

export interface Store {
  /** The most commands of one `run`, whose answers come in a fraction of the time-out. */
  readonly most: number
  /** Runs all commands at once, and answers in their order; rejects if one fails, and after `close`. */
  run(commands: readonly Command[]): Promise<Answer[]>
  /** Gives up the commands under way. */
  close(): void
}

/** Resolves with an open connection, or rejects with the reason. `signal`: the caller waits no more. */
export type Connect = (signal: AbortSignal) => Promise<Store>
