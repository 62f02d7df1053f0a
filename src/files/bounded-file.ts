// Files that an operator names, which may be anything: `/dev/zero` has no end.

import { open } from 'node:fs/promises'

/** The most that a ConfigMap or a Secret holds. */
export const MAX_FILE_BYTES = 1024 * 1024

/** At most `MAX_FILE_BYTES` and one byte, whatever the file is. Rejects with the system's error. */
export async function readBounded(path: string): Promise<Buffer> {
  await using handle = await open(path)
  const buffer = Buffer.alloc(MAX_FILE_BYTES + 1)
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return Buffer.from(buffer.subarray(0, length))
}
