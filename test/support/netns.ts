// Three hosts on one machine, for faults that loopback cannot show: peers that vanish silently, lost packets, a slow
// link. Needs root and iproute2.
//
//     client 10.77.1.2 -- 10.77.1.1  gate  10.77.2.1 -- 10.77.2.2 upstream

import type { Test } from 'tap'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { eventually, within, type Wait } from './eventually.ts'

export type Host = 'client' | 'gate' | 'upstream'

export const GATE_FOR_CLIENT = '10.77.1.1'
export const UPSTREAM = '10.77.2.2'

/** The two ends of each link: on the outer host, on the gate. */
const links = { client: ['c0', 'c1'], upstream: ['u0', 'u1'] } as const
const root = fileURLToPath(new URL('../..', import.meta.url))
let made = 0

const ip = (...args: string[]): void => void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })

export interface Peer {
  child: ChildProcess
  /** Lines of its output. */
  lines: string[]
  /** Resolves with the first line that begins so. */
  said(beginning: string, wait?: Wait): Promise<string>
}

export interface Network {
  /** The prefix of a command line that runs on that host. */
  under(host: Host): string[]
  /** Runs a Node program there until the test ends. */
  run(host: Host, program: string, ...args: string[]): Peer
  /** Takes the link of a host down, at its own end: no packet goes out or comes in, and no peer gets a sign. */
  vanish(host: 'client' | 'upstream'): void
  heal(host: 'client' | 'upstream'): void
  /** Drops that share of the packets from the gate to the host. */
  lose(host: 'client' | 'upstream', share: number): void
  /** Limits the rate of the packets from the gate to the host. */
  slow(host: 'client' | 'upstream', kbitPerSec: number): void
}

/** The reason for which this machine cannot have such a network; null if it can. */
export function whyNoNetwork(): string | null {
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const probe = `sg-${process.pid}-probe`
  try {
    ip('netns', 'add', probe)
    ip('netns', 'del', probe)
    return null
  } catch (error) {
    return `no network namespaces here: ${error instanceof Error ? error.message.split('\n')[0]! : String(error)}`
  }
}

export function network(t: Test): Network {
  const prefix = `sg-${process.pid}-${++made}`
  const name = (host: Host): string => `${prefix}-${host}`
  const hosts: Host[] = ['client', 'gate', 'upstream']
  t.teardown(() => {
    for (const host of hosts) {
      try {
        ip('netns', 'del', name(host))
      } catch {} // it did not exist
    }
  })
  for (const host of hosts) {
    ip('netns', 'add', name(host))
    ip('-n', name(host), 'link', 'set', 'lo', 'up')
  }
  for (const [nth, host] of (['client', 'upstream'] as const).entries()) {
    const [outer, inner] = links[host]
    ip(
      'link',
      'add',
      outer,
      'netns',
      name(host),
      'type',
      'veth',
      'peer',
      'name',
      inner,
      'netns',
      name('gate'),
    )
    ip('-n', name(host), 'addr', 'add', `10.77.${nth + 1}.2/24`, 'dev', outer)
    ip('-n', name('gate'), 'addr', 'add', `10.77.${nth + 1}.1/24`, 'dev', inner)
    ip('-n', name(host), 'link', 'set', outer, 'up')
    ip('-n', name('gate'), 'link', 'set', inner, 'up')
  }
  const under = (host: Host): string[] => ['ip', 'netns', 'exec', name(host)]
  const execute = (host: Host, ...command: string[]): void => {
    const [program = '', ...args] = [...under(host), ...command]
    execFileSync(program, args, { stdio: ['ignore', 'ignore', 'pipe'] })
  }
  return {
    under,
    run(host, program, ...args) {
      const [command = '', ...rest] = [...under(host), process.execPath, '-e', program, '--', ...args]
      const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'], cwd: root })
      t.teardown(async () => {
        const closed = once(child, 'close')
        if (child.kill('SIGKILL')) await closed
      })
      const lines: string[] = []
      let text = ''
      child.stdout.setEncoding('utf8').on('data', (piece: string) => {
        const pieces = (text + piece).split('\n')
        text = pieces.pop()!
        lines.push(...pieces)
      })
      return {
        child,
        lines,
        said: (beginning, wait) =>
          within(
            eventually(() => lines.find((line) => line.startsWith(beginning)), {
              what: `${host} to say ${beginning}`,
              ...wait,
            }),
            { withinMs: 60_000 },
          ),
      }
    },
    vanish: (host) => ip('-n', name(host), 'link', 'set', links[host][0], 'down'),
    heal: (host) => ip('-n', name(host), 'link', 'set', links[host][0], 'up'),
    lose(host, share) {
      // On the host itself: TCP learns of a packet dropped on the way out, so that would be no loss.
      execute(
        host,
        'iptables',
        '-w',
        '-I',
        'INPUT',
        '-i',
        links[host][0],
        '-m',
        'statistic',
        '--mode',
        'random',
        '--probability',
        String(share),
        '-j',
        'DROP',
      )
    },
    slow(host, kbitPerSec) {
      execute(
        'gate',
        'tc',
        'qdisc',
        'add',
        'dev',
        links[host][1],
        'root',
        'tbf',
        'rate',
        `${kbitPerSec}kbit`,
        'burst',
        '16kbit',
        'latency',
        '50ms',
      )
    },
  }
}
