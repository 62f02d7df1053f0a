// Labels of plain HTTP, bounded whatever peers send.

const methods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])

/** Clients choose methods, so all unusual ones are one series (CVE-2022-21698). */
export function methodLabel(method: string): string {
  return methods.has(method) ? method : 'other'
}

/** Upstreams choose codes. `none`: the client got no answer. */
export function codeLabel(status: number | null): string {
  if (status === null) return 'none'
  return status >= 100 && status <= 599 ? String(status) : 'other'
}
