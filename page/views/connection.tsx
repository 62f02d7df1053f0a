// One connection: its peers, its current wait with its deadline, and a button that ends it.

import { useState } from 'preact/hooks'
import { bySide } from '../../src/core/close.ts'
import type { ConnectionDetail, FlowView, Killed } from '../../src/admin/types.ts'
import { ask } from '../ask.ts'
import { formatAge, formatBytes, formatClock, formatRate, plural } from '../format.ts'
import { Confirm, Fact, Facts, meaningOf, Problem, ReasonWord } from '../parts.tsx'
import type { Question } from '../parts.tsx'
import { usePoll } from '../poll.ts'
import { TimelineList } from '../timeline.tsx'
import { linkTo } from '../route.ts'

export function OneConnection({ id }: { id: string }) {
  const { value: it, problem } = usePoll<ConnectionDetail>(`connections/${id}`, 1000)
  const [question, setQuestion] = useState<Question | null>(null)
  const [killed, tell] = useState<string | null>(null)
  return (
    <article class="one">
      <p>
        <a href={linkTo('connections')}>All connections</a>
      </p>
      <header>
        <h2>Connection {id}</h2>
        {it !== null && (
          <button type="button" class="danger" onClick={() => setQuestion(killQuestion(it, tell))}>
            End it
          </button>
        )}
      </header>
      {killed !== null && <p role="status">{killed}</p>}
      {killed === null && <Problem text={problem} />}
      {problem !== null && it === null && (
        <p>
          <a href={linkTo('ended')}>What has just ended</a>
        </p>
      )}
      {it !== null && <Detail it={it} />}
      <Confirm question={question} onDone={() => setQuestion(null)} />
    </article>
  )
}

function killQuestion(it: ConnectionDetail, tell: (sentence: string) => void): Question {
  const peers =
    it.protocol === 'tcp'
      ? 'Both peers get a reset'
      : it.protocol === 'websocket'
        ? 'Both peers are told 1001'
        : 'Its client gets 503, or a reset if an answer has begun'
  return {
    title: `End connection ${it.id}?`,
    text: `${it.client} has been connected for ${formatAge(it.ageMs)}. ${peers}. The reason in the log is killed.`,
    verb: 'End it',
    async act() {
      const { close } = await ask<Killed>(`connections/${it.id}`, 'DELETE')
      tell(
        close.reason === 'killed'
          ? `Connection ${it.id} was ended.`
          : `It was ending already, with ${close.reason}; it was hastened.`,
      )
    },
  }
}

function Detail({ it }: { it: ConnectionDetail }) {
  return (
    <>
      <Peers it={it} />
      <Waiting it={it} />
      <Facts>
        <Fact name="Listener">
          {it.listener}, {it.protocol}
        </Fact>
        <Fact name="Phase">
          {it.phase}
          {it.state !== null && `, ${it.state}`}
        </Fact>
        <Fact name="Open for">
          {formatAge(it.ageMs)}, since {formatClock(it.openedAt)}
        </Fact>
        <Fact name="No data for">{formatAge(it.idleMs)}</Fact>
        <Fact name="Rate">{it.bytesPerSec === null ? 'known in a second' : formatRate(it.bytesPerSec)}</Fact>
        {it.tls !== null && <Fact name="TLS">{tlsOf(it.tls)}</Fact>}
      </Facts>
      <section>
        <h3>What happened</h3>
        <TimelineList timeline={it.timeline} />
      </section>
    </>
  )
}

function tlsOf({ version, cipher, serverName, certificate }: NonNullable<ConnectionDetail['tls']>): string {
  const parts = [version, cipher, serverName, certificate?.commonName]
  return parts.filter((part) => part !== null && part !== undefined && part !== '').join(', ')
}

/** Client, gate and upstream in a row, and the flows between them. */
function Peers({ it }: { it: ConnectionDetail }) {
  return (
    <div class="peers">
      <Peer name="Client" address={it.client} queued={it.queued.client} />
      <div class="flows">
        <FlowLine arrow="→" flow={it.toUpstream} isPaused={it.paused.toUpstream} to="upstream" />
        <FlowLine arrow="←" flow={it.toClient} isPaused={it.paused.toClient} to="client" />
      </div>
      <Peer name="Upstream" address={it.upstream ?? 'not dialled yet'} queued={it.queued.upstream} />
    </div>
  )
}

function Peer({ name, address, queued }: { name: string; address: string; queued: number }) {
  return (
    <div class="peer">
      <span class="name">{name}</span>
      <span class="mono">{address}</span>
      <span class={queued > 0 ? 'odd' : 'quiet'}>
        {queued > 0 ? `${formatBytes(queued)} wait for it` : 'nothing waits for it'}
      </span>
    </div>
  )
}

function FlowLine({
  arrow,
  flow,
  isPaused,
  to,
}: {
  arrow: string
  flow: FlowView
  isPaused: boolean
  to: string
}) {
  const told = [`${formatBytes(flow.received)} in`, `${formatBytes(flow.sent)} out`]
  if (flow.messages > 0) told.push(plural(flow.messages, 'message'))
  if (flow.pauses > 0) told.push(`held back ${plural(flow.pauses, 'time')}`)
  return (
    <p class={isPaused ? 'odd' : ''}>
      <span aria-hidden="true" class="arrow">
        {arrow}
      </span>
      <span class="seen-by-readers">To the {to}: </span>
      {told.join(', ')}
      {isPaused && ', and now'}
    </p>
  )
}

function Waiting({ it }: { it: ConnectionDetail }) {
  const { nextDeadline: next, close } = it
  if (close !== null)
    return (
      <p class="waiting">
        It takes leave: <ReasonWord reason={close.reason} side={close.side} />. {close.detail}
      </p>
    )
  return (
    <p class="waiting">
      It waits for <strong>{it.waitsFor ?? 'nothing that it could tell'}</strong>.{' '}
      {next === null ? (
        'No deadline bounds that.'
      ) : (
        <>
          If nothing moves, it ends in <strong>{formatAge(Math.max(0, next.inMs))}</strong> with{' '}
          <span title={meaningOf(next.reason)}>{next.reason}</span> {bySide(next.side)} (
          <code>{next.key}</code>).
        </>
      )}
    </p>
  )
}
