// What leases need of Redis, and nothing of how it is reached.

/** One call of a script. */
export interface Command {
  script: 'draw' | 'places' | 'beat'
  key: string
  args: ReadonlyArray<string | number>
}

export type Answer = ReadonlyArray<number | string>

export interface Store {
  /** All of them at once, in order; rejects if one of them fails, and after `close`. */
  run(commands: readonly Command[]): Promise<Answer[]>
  /** Gives up what is under way. */
  close(): void
}

/** Resolves with a connection that stands; rejects with what is in the way. `signal`: nobody waits any more. */
export type Connect = (signal: AbortSignal) => Promise<Store>
