// Memory that returns to the system at once instead of at the next collection: the collector sees a buffer as
// a hundred bytes, whatever it holds, so tens of megabytes may pile up before it runs.

/** Frees the memory of `bytes`, which nobody reads any more, unless something else shares it. */
export function freeBuffer(bytes: Buffer): void {
  const { buffer } = bytes
  // Small buffers are slices of a pool of Node's.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength && bytes.byteLength > 0)
    buffer.transfer(0)
}
