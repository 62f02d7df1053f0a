// One connection in full, as lines for a terminal.

import type { ConnectionDetail, FlowView } from '../../admin/types.ts'
import { bySide } from '../../core/close.ts'
import { counted, formatAge, formatBytes } from '../../core/wait.ts'
import { timelineLines } from './timeline.ts'

/** All facts about one connection, with its timeline. */
export function detailLines(it: ConnectionDetail): string[] {
  const { nextDeadline: next, close } = it
  const pairs: [string, string][] = [
    ['connection', `${it.id}, ${it.protocol} on ${it.listener}`],
    ['client', it.client],
    ...(it.peer === it.client ? [] : ([['peer', it.peer]] as [string, string][])),
    [
      'upstream',
      `${it.upstream ?? (it.protocol === 'h2' ? 'those of its streams' : 'none yet')}${it.connectMs === null ? '' : `, connected within ${it.connectMs} ms`}`,
    ],
    ['phase', it.phase],
    ['open', `for ${formatAge(it.ageMs)}, since ${it.openedAt}`],
    ['idle', formatAge(it.idleMs)],
    ['to upstream', flowText(it.toUpstream, it.queued.upstream, it.paused.toUpstream)],
    ['to client', flowText(it.toClient, it.queued.client, it.paused.toClient)],
    [
      'rate',
      it.bytesPerSec === null ? 'not known yet, ask again in a second' : `${formatBytes(it.bytesPerSec)}/s`,
    ],
    ['waits for', it.waitsFor ?? 'nothing that it could tell'],
    [
      'next',
      next === null
        ? 'no deadline'
        : `${next.reason} ${bySide(next.side)} in ${formatAge(Math.max(0, next.inMs))} (${next.key})`,
    ],
  ]
  if (close !== null)
    pairs.push([
      'ended',
      `${close.reason} ${bySide(close.side)} in ${close.phase}${close.detail === undefined ? '' : `: ${close.detail}`}`,
    ])
  return [...pairs.map(([name, text]) => `${name.padEnd(13)}${text}`), '', ...timelineLines(it.timeline)]
}

function flowText({ received, sent, messages, pauses }: FlowView, queued: number, isPaused: boolean): string {
  const parts = [
    `${formatBytes(received)} received`,
    `${formatBytes(sent)} sent`,
    `${formatBytes(queued)} queued`,
  ]
  if (messages > 0) parts.push(counted(messages, 'message'))
  parts.push(`paused ${counted(pauses, 'time')}${isPaused ? ', and now' : ''}`)
  return parts.join(', ')
}
