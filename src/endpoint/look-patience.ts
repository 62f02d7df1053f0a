// How long a verdict on a slow peer waits for a fresh look into the kernel (kernel-queue.ts).

/** Beside 100,000 sockets in TIME_WAIT one look takes that long. */
const PATIENT_MS = 10_000
/** And so many sweeps, as many as are made meanwhile: a process that stood still has not waited. */
const PATIENT_SWEEPS = 40

export class LookPatience {
  #sweeps = 0
  #since = 0

  /**
   * To be asked in each sweep without an answer, from the first on; true once that has gone on for too long.
   */
  isOver(now: number): boolean {
    if (this.#sweeps++ === 0) this.#since = now
    return this.#sweeps > PATIENT_SWEEPS && now - this.#since >= PATIENT_MS
  }
}
