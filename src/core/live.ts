// A value that a reload may change. Its users keep the `Live` and read `current` at each use, so that a new
// value reaches every open connection; a copy of a `Live`, or a spread of an object that holds one, refers to
// the same value.
//
// A getter on an options object does not do: a spread of that object copies the present value for good, and
// the types do not show it.

export interface Live<T> {
  readonly current: T
}

/** The writable end, for a reload. Readers see it as a `Live`. */
export class LiveValue<T> implements Live<T> {
  // Private, with a getter on the prototype: a spread of this object has no `current`.
  #current: T

  constructor(current: T) {
    this.#current = current
  }

  get current(): T {
    return this.#current
  }

  set(next: T): void {
    this.#current = next
  }
}

/** A value that never changes. */
export function fixed<T>(value: T): Live<T> {
  return new LiveValue(value)
}
