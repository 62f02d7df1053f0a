// A finding of a survey: a question, the service's behaviour, and the configuration key that follows from it,
// if any.

export interface Finding {
  question: string
  /** A sentence without its full stop. */
  answer: string
  /** Below the listener; absent where the default fits, or no key is concerned. */
  key?: string
  value?: string | number
}

export interface SurveyOptions {
  path: string
  host: string
  /** Milliseconds to wait for the service to end a silent connection. */
  forMs: number
  /** The survey sends messages of growing size, up to so many bytes; 0 sends none. */
  messageBytes: number
}
