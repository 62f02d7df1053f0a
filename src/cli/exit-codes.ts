// The exit codes of every command; those above 63 are those of sysexits.h.

export const OK = 0
/** The gate said no, or is not there; the demo saw a client handled otherwise than it says. */
export const REFUSED = 1
/** Something is left for the operator to decide, and `--strict` was asked for. */
export const STRICT = 2
export const USAGE = 64
/** Another Node is needed: told by first.mjs, which can import nothing. */
export const UNAVAILABLE = 69
export const INTERNAL = 70
/** Not now, and by no fault of the configuration: the machine was too slow, or had no room for a process. */
export const TEMPORARY = 75
export const CONFIG = 78
