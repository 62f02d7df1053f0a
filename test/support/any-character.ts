import fc from 'fast-check'

/** Any code point, half of a pair included: the unit `binary` of fast-check without its map of a million entries, which takes a second. */
export const anyCharacter = fc.integer({ min: 0, max: 0x10_ffff }).map((point) => String.fromCodePoint(point))
