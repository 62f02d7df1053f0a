// A value that a reload may change. Its users keep the `Live` and read `current` at each use, so that a new value
// reaches all that is open; a copy of a `Live`, or a spread of an object that holds one, refers to the same value.
//
// A getter on an options object does not do: a spread of that object takes the value of now, for good, and types do not tell.

export interface Live<T> {
  readonly current: T
}

/** The end of it that a reload changes. Others see it as a `Live`. */
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

/** A value that nobody changes. */
export function fixed<T>(value: T): Live<T> {
  return new LiveValue(value)
}
