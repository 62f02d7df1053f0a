// The answer of a route, of the health server and of the admin server alike.

export interface Answer {
  status: number
  /** Plain text where it is absent. */
  contentType?: string
  /**
   * Bytes where several connections share them; pieces, made as the peer takes them, where the whole would be
   * too much at once.
   */
  body: string | Buffer | AsyncIterable<string | Buffer>
  headers?: Readonly<Record<string, string>>
}

/** JSON in lines, for people with curl and for machines. */
export function jsonAnswer(value: unknown, status = 200): Answer {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` }
}
