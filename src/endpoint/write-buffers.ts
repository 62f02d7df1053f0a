// Write buffers: bytes are copied into them on their way to the kernel.
//
// Reads of all sockets land in one shared buffer, which must never be handed to a write: if the kernel takes
// only a part, libuv keeps the pointer, and the next read of any socket overwrites what waits there (right
// length, wrong bytes, only under load). So every write gets a copy in a buffer of ours, and if the write
// does not complete at once, that buffer belongs to the write until it does.
//
// One buffer per size class, reused for as long as writes complete at once, which is nearly always. The
// classes are a sixteenth of an octave apart, so that a waiting write keeps at most 1/16 more than its own
// bytes alive.

const SMALLEST = 64
const LARGEST = 65536
const STEPS = 16
const SMALLEST_LOG2 = 6
const classCount = (Math.log2(LARGEST) - SMALLEST_LOG2) * STEPS + 1

interface Slot {
  buffer: Buffer | null
  /** The last view handed out: chat is of one size, and a view costs more than a copy of 64 bytes. */
  view: Buffer | null
}

const slots: Slot[] = Array.from({ length: classCount }, () => ({ buffer: null, view: null }))

/** The class that holds `length` bytes; `length` is 1..65536. */
function classOf(length: number): number {
  if (length <= SMALLEST) return 0
  const last = length - 1
  const octave = 31 - Math.clz32(last)
  return (octave - SMALLEST_LOG2) * STEPS + ((last >>> (octave - 4)) & 15) + 1
}

function sizeOf(index: number): number {
  if (index === 0) return SMALLEST
  const octave = SMALLEST_LOG2 + Math.floor((index - 1) / STEPS)
  return 2 ** octave + (((index - 1) % STEPS) + 1) * 2 ** (octave - 4)
}

/**
 * A view of exactly `end - start` bytes (at most 64 KiB) with a copy of `bytes[start..end)`. Valid until the
 * next `copyOut`.
 */
export function copyOut(bytes: Buffer, start: number, end: number): Buffer {
  const length = end - start
  const index = classOf(length)
  const slot = slots[index]!
  const buffer = (slot.buffer ??= Buffer.allocUnsafeSlow(sizeOf(index)))
  bytes.copy(buffer, 0, start, end)
  const view = slot.view
  if (view !== null && view.length === length) return view
  return (slot.view = length === buffer.length ? buffer : buffer.subarray(0, length))
}

/** Gives the last `copyOut`'s view to a write that did not complete: it will not be handed out again. */
export function lend(view: Buffer): void {
  const slot = slots[classOf(view.length)]!
  slot.buffer = null
  slot.view = null
}

/** Takes back a lent view whose write has completed: bulk transfers need not allocate for every chunk. */
export function giveBack(view: Buffer): void {
  const index = classOf(view.length)
  const slot = slots[index]!
  if (slot.buffer !== null || view.buffer.byteLength !== sizeOf(index)) return
  slot.buffer = Buffer.from(view.buffer)
}

export const LARGEST_WRITE = LARGEST
