// Whether the gate answers, by the last request: one truth for the whole page.

import { useEffect, useState } from 'preact/hooks'

export type Word = 'answers' | 'isGone' | 'asksForToken'

export interface Status {
  word: Word | null
  /** The moment of the last answer: since then the gate may be gone. */
  answeredAt: number | null
}

let status: Status = { word: null, answeredAt: null }
const listeners = new Set<(status: Status) => void>()

export function tellStatus(word: Word): void {
  const answeredAt = word === 'answers' ? Date.now() : status.answeredAt
  const isNews = word !== status.word
  status = { word, answeredAt }
  if (isNews) for (const listener of listeners) listener(status)
}

export function useStatus(): Status {
  const [seen, see] = useState(status)
  useEffect(() => {
    listeners.add(see)
    see(status)
    return () => void listeners.delete(see)
  }, [])
  return seen
}
