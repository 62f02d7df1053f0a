// Bytes that a half keeps, and text that it sends on.

/** Copied into memory of its own, because all sockets share the read buffer. */
export function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start)
  bytes.copy(copy, 0, start, end)
  return copy
}

/** The part of a half that takes text. */
interface Forwarder {
  forward(bytes: Buffer, start: number, end: number): void
}

/** The buffer that heads are encoded into before they are forwarded: one for the process. */
let scratch: Buffer = Buffer.allocUnsafeSlow(16_384)

export function forwardText(half: Forwarder, text: string): void {
  // Headers that we add may make a head longer than its bound.
  if (text.length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * text.length)
  half.forward(scratch, 0, scratch.write(text, 0, 'latin1'))
}
