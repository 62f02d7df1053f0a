// What a survey finds: a question, what the service did, and the key of a configuration that follows from it, if one does.

export interface Finding {
  question: string
  /** A sentence without its full stop. */
  answer: string
  /** Below the listener; absent where the default fits, or none is concerned. */
  key?: string
  value?: string | number
}

export interface SurveyOptions {
  path: string
  host: string
  /** Milliseconds that are waited for the service to end what is silent. */
  forMs: number
  /** Messages of growing size are sent, up to so many bytes; 0 sends none. */
  messageBytes: number
}
