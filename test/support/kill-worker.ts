// Ends a worker's thread from outside, between any two steps of its work. Import it before a gate starts.

import type { Worker, WorkerOptions } from 'node:worker_threads'

const threads = process.getBuiltinModule('node:worker_threads')
const running = new Map<string, Worker>()

// The gate makes its thread by the class that this module holds at that moment.
threads.Worker = class extends threads.Worker {
  constructor(file: string | URL, options: WorkerOptions = {}) {
    super(file, options)
    const { name = '' } = options
    running.set(name, this)
    this.once('exit', () => {
      if (running.get(name) === this) running.delete(name)
    })
  }
}

export async function killWorker(worker: number): Promise<void> {
  await running.get(`gate ${worker}`)!.terminate()
}
