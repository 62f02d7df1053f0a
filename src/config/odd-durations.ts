// Deadlines that are allowed but hardly meant: so short that they end innocent connections, or so long that
// they stop nothing.

import type { Path } from './path.ts'
import type { Finding } from './finding.ts'
import type { ListenerConfig } from './schema.ts'
import { formatDuration, OFF } from './units.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

interface Usual {
  /** Milliseconds; `short` is the effect of less on clients. */
  least: number
  short: string
  /** `long` is the effect of more on the gate. */
  most?: number
  long?: string
}

/** By the key below `deadlines`. `off` has its own warnings. */
const usual: Readonly<Record<string, Usual>> = {
  handshake: {
    least: SECOND,
    short: 'ends clients on slow links before their first request is there',
    most: 2 * MINUTE,
    long: 'lets a client that trickles its head hold a place for as long (slowloris)',
  },
  connect: {
    least: 50,
    short: 'gives up a service that is only busy',
    most: MINUTE,
    long: 'lets clients wait for as long for a service that is down',
  },
  response: {
    least: SECOND,
    short: 'ends answers that take longer',
    most: HOUR,
    long: 'keeps the clients of a service that hangs for as long',
  },
  request: { least: SECOND, short: 'ends uploads at the first pause of the network' },
  idle: { least: 10 * SECOND, short: 'ends a client that says nothing for a moment, and it comes back' },
  write: {
    least: SECOND,
    short: 'ends readers at the first pause of the network',
    most: HOUR,
    long: 'keeps the queue of a reader that stalled for as long',
  },
  halfClose: { least: SECOND, short: 'cuts answers off that are on their way' },
  close: { least: 100, short: 'resets peers that were about to answer a closing handshake', most: MINUTE },
  lifetime: { least: MINUTE, short: 'ends every connection after that, and each comes back at once' },
}

/** `path` leads to the deadlines of the listener. */
export function oddDurations({ deadlines }: ListenerConfig, path: Path): Finding[] {
  const values = deadlines as unknown as Readonly<Record<string, number | undefined>>
  return Object.entries(usual).flatMap(([name, { least, short, most = OFF, long }]) => {
    const ms = values[`${name}Ms`]
    if (ms === undefined || ms === OFF) return []
    const message =
      ms < least ? short : ms > most ? (long ?? 'holds a connection that is over for as long') : null
    return message === null ? [] : [{ path: [...path, name], message: `${formatDuration(ms)} ${message}` }]
  })
}
