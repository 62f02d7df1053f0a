// The empty buffer: one value for all, so that having no bytes costs nothing.

export const NOTHING: Buffer = Buffer.alloc(0)
