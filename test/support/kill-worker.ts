// Ends a worker's thread from outside, wherever it is: between any two steps of what it does. Import it before a gate is started.

import type { Worker, WorkerOptions } from 'node:worker_threads'

const threads = process.getBuiltinModule('node:worker_threads')
const running = new Map<string, Worker>()

// A gate's thread is made by the class that stands here at that moment.
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
