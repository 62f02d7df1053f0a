// Random numbers that can be repeated: a whole run of the fuzzer follows from one number.

export interface Chance {
  /** 0 to below `n`. */
  below(n: number): number
  pick<T>(list: readonly T[]): T
  /** True once in `n`. */
  oneIn(n: number): boolean
}

/** mulberry32. */
export function chanceOf(seed: number): Chance {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
  const below = (n: number): number => Math.floor(next() * n)
  return { below, pick: (list) => list[below(list.length)]!, oneIn: (n) => below(n) === 0 }
}

export function times<T>(count: number, make: (nth: number) => T): T[] {
  return Array.from({ length: count }, (_, nth) => make(nth))
}

/** The same bytes in pieces, as reads bring them: whole, one by one, or cut anywhere. */
export function pieces(chance: Chance, text: string): string[] {
  const way = chance.below(6)
  if (way === 0) return [text]
  if (way === 1 && text.length < 3000) return text.split('')
  const cuts = times(1 + chance.below(way === 2 ? 40 : 4), () => chance.below(text.length + 1)).sort(
    (a, b) => a - b,
  )
  return [0, ...cuts].map((cut, i) => text.slice(cut, cuts[i] ?? text.length)).filter((piece) => piece !== '')
}
