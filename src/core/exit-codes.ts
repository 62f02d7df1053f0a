// The exit codes of every command; those above 63 are those of sysexits.h.

export const OK = 0
/** The gate refused, or is missing; in the demo a client was handled otherwise than announced. */
export const REFUSED = 1
/** The operator has something left to decide, and `--strict` is set. */
export const STRICT = 2
export const USAGE = 64
/** Another Node is needed: used by first.mjs, which can import nothing. */
export const UNAVAILABLE = 69
export const INTERNAL = 70
/** Temporary, by no fault of the configuration: the machine was too slow, or had no room for a process. */
export const TEMPORARY = 75
export const CONFIG = 78
