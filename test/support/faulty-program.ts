// A module that NODE_OPTIONS loads into each thread of the built program: a worker that finds the file of a fault removes it, and has the fault.
// Only one of several workers can remove it, so each file is one fault.

import { existsSync, unlinkSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const file = process.env['SIDEGATE_TEST_FAULT']
if (!isMainThread && file !== undefined) setInterval(() => look(file), 20).unref()

function look(path: string): void {
  if (!existsSync(path)) return
  try {
    unlinkSync(path)
  } catch {
    return
  }
  throw new Error('thrown by the test')
}
