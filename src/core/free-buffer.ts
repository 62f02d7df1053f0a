// Memory that goes back to the system at once, by a word of ours, and not when the collector next comes by: to it a buffer is a hundred bytes, whatever it
// holds, so that tens of megabytes of them may lie about before it sees a reason to.

/** Nobody reads `bytes` any more: its memory goes, if nothing else shares it. */
export function freeBuffer(bytes: Buffer): void {
  const { buffer } = bytes
  // Small ones are cut out of a pool of Node's.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength && bytes.byteLength > 0)
    buffer.transfer(0)
}
