// Limits that are learnt from traffic: the value in force, the habits seen, and the proposal. The page
// changes none of it.

import { useState } from 'preact/hooks'
import type { AdviceItem, AdviceView } from '../../src/admin/types.ts'
import { formatAge, formatBytes, formatCount, formatMs } from '../format.ts'
import { Answered, Scrolls } from '../parts.tsx'
import { usePoll } from '../poll.ts'

export function Advice() {
  const [isAnyway, setAnyway] = useState(false)
  const polled = usePoll<AdviceView[]>(isAnyway ? 'advice?anyway=1' : 'advice', 30_000)
  return (
    <>
      <h2 class="seen-by-readers">Advice</h2>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label class="check">
          <input
            type="checkbox"
            checked={isAnyway}
            onChange={(event) => setAnyway(event.currentTarget.checked)}
          />
          Propose from less than a day or 10,000 events, too
        </label>
      </form>
      <Answered polled={polled}>
        {(views) => views.map((view) => <Listener key={view.listener} view={view} />)}
      </Answered>
      <p class="quiet">
        Nothing changes by itself: <code>sidegate advise --yaml</code> writes the proposals as a patch, and{' '}
        <code>sidegate check FILE --patch</code> tries it.
      </p>
    </>
  )
}

function Listener({ view: { listener, ageMs, items } }: { view: AdviceView }) {
  return (
    <section class="wide advice">
      <h3>
        {listener} <span class="quiet">learnt in {formatAge(ageMs)}</span>
      </h3>
      <Scrolls label={`Advice for ${listener}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">Key</th>
              <th scope="col">In force</th>
              <th scope="col">Proposed</th>
              {['Seen', 'Half up to', '99 %', '99.9 %', 'Greatest'].map((title) => (
                <th key={title} scope="col" class="right">
                  {title}
                </th>
              ))}
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            {items.map((item) => (
              <Item key={item.key} item={item} />
            ))}
          </tbody>
        </table>
      </Scrolls>
    </section>
  )
}

function Item({ item: { key, inForce, proposed, seen, why, unknown } }: { item: AdviceItem }) {
  const amounts = [seen.p50, seen.p99, seen.p999, seen.max]
  return (
    <tr>
      <th scope="row" class="mono">
        {key}
      </th>
      <td class="mono">{inForce}</td>
      <td class={`mono ${proposed === null ? 'quiet' : 'odd'}`}>{proposed ?? '–'}</td>
      <td class="right" title={seen.what}>
        {formatCount(seen.count)}
      </td>
      {amounts.map((amount, nth) => (
        <td key={nth} class="right">
          {seen.count === 0 ? '–' : spoken(seen.unit, amount)}
        </td>
      ))}
      <td class="words">
        {why} {unknown !== null && <span class="quiet">{unknown}</span>}
      </td>
    </tr>
  )
}

function spoken(unit: AdviceItem['seen']['unit'], value: number): string {
  return unit === 'ms'
    ? formatMs(value)
    : unit === 'bytes'
      ? formatBytes(Math.round(value))
      : formatCount(value)
}
