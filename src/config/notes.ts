// What an operator has to decide and the file leaves open. No warning: the default is right for one of two settings, and
// nothing in the file tells which of them it is in. `sidegate check` says it; either word, once written, ends it.

import type { Path } from './path.ts'
import type { Finding } from './problems.ts'
import type { Config } from './schema.ts'

/** `isWritten` tells whether the file has that path. */
export function openQuestions({ listeners }: Config, isWritten: (path: Path) => boolean): Finding[] {
  return listeners.flatMap(({ protocol, address, proxyProtocol, tls }, index) => {
    const path = ['listeners', index, 'http', 'trustForwarded']
    // A peer on a unix socket has no address that could be trusted.
    if (protocol !== 'http' || address.kind === 'unix' || proxyProtocol.accept !== 'off' || isWritten(path)) return []
    const scheme = tls === null ? ', and an application that forces HTTPS redirects for ever' : ''
    const message = `not written: behind a proxy such as an ingress the service takes that for its client${scheme}; `
      + 'write [private] there, or [] where clients come directly'
    return [{ path, message }]
  })
}
