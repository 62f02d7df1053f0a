// No bytes: one value for all, so that having none costs nothing.

export const NOTHING: Buffer = Buffer.alloc(0)
