// The interim answers (1xx) of an upstream ahead of its final one.

/** How many of them go on to a client of plain HTTP, and begin `deadlines.response` anew. */
export const MAX_INTERIM = 16
/** How many an upstream may send. */
export const MAX_INTERIM_READ = 1000
export const TOO_MANY_INTERIM = `more than ${MAX_INTERIM_READ} interim answers`
