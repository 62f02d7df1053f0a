import { test } from 'tap'
import { MAX_LINES, note, Timeline } from '../../src/core/timeline.ts'

const short = (timeline: Timeline | null) =>
  timeline?.lines.map(({ afterMs, event, detail, count }) => [afterMs, event, detail, count])

test('nothing is kept before something is noted', (t) => {
  const connection = { openedAt: 1000, timeline: null as Timeline | null }
  t.equal(connection.timeline, null)
  note(connection, 'stalled', 1250, 'client')
  t.same(short(connection.timeline), [[250, 'stalled', 'client', 1]])
  t.end()
})

test('what alternates is two lines with their counts, and when each was last', (t) => {
  const timeline = new Timeline()
  for (let at = 0; at < 100; at += 2) {
    timeline.note('held_back', at, 'upstream')
    timeline.note('let_go', at + 1, 'upstream')
  }
  t.same(short(timeline), [
    [0, 'held_back', 'upstream', 50],
    [1, 'let_go', 'upstream', 50],
  ])
  t.same(
    timeline.lines.map(({ lastMs }) => lastMs),
    [98, 99],
  )
  timeline.note('held_back', 100, 'client')
  t.equal(timeline.lines.length, 3, 'another side is another line')
  t.end()
})

test('what lasts is told again without being counted', (t) => {
  const timeline = new Timeline()
  for (const at of [1, 2, 3]) timeline.note('stalled', at, 'client')
  t.match(timeline.lines, [{ afterMs: 1, lastMs: 3, count: 1 }])
  t.end()
})

test('the first and the last lines stay, and the middle is one line that says how much it was', (t) => {
  const timeline = new Timeline()
  const total = 1000
  for (let at = 0; at < total; at++) timeline.note('limited', at, `limit ${at}`)
  const lines = timeline.lines
  t.ok(lines.length < MAX_LINES - 5, 'there is room for what is known of every connection')
  t.equal(lines[0]!.detail, 'limit 0')
  t.equal(lines.at(-1)!.detail, `limit ${total - 1}`)
  const folded = lines.filter(({ event }) => event === 'folded')
  t.equal(folded.length, 1)
  t.equal(folded[0]!.count + lines.length - 1, total, 'every line is there or counted')
  t.ok(
    lines.every((line, index) => index === 0 || line.afterMs >= lines[index - 1]!.afterMs),
    'in order',
  )
  t.end()
})

test('counts stay right around the fold', (t) => {
  const timeline = new Timeline()
  const seen = new Map<string, number>()
  for (let at = 0; at < 600; at++) {
    const detail = `side ${Math.floor(at / 7) % 40}`
    timeline.note(at % 2 === 0 ? 'held_back' : 'let_go', at, detail)
    seen.set(detail, (seen.get(detail) ?? 0) + 1)
  }
  t.equal(
    timeline.lines.reduce((sum, { count }) => sum + count, 0),
    600,
  )
  t.end()
})
