// A plot of the last quarter of an hour: uPlot on a canvas, and beside it the same in words and numbers, for
// viewers who do not see it. All plots of a page share one cursor.

import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import { formatClock, formatKnown } from './format.ts'
import { colorOf, onColorChange } from './colors.ts'
import { ASKING } from './parts.tsx'
import type { Values } from './series.ts'

export interface Line {
  label: string
  values: Values
  /** A color of the page (colors.ts). */
  color: string
  /** A bound: dashed, and not filled. */
  isBound?: boolean
}

export interface PlotProps {
  title: string
  /** The meaning, shown on hovering over the title. */
  about: string
  at: readonly number[]
  lines: readonly Line[]
  format: (value: number) => string
  /** Bars on top of each other; lines otherwise. */
  isStacked?: boolean
  /** The allowed distances of two marks of the scale, where tens do not suit. */
  incrs?: readonly number[]
  /** Shown if there is nothing to draw. */
  empty?: string
}

const HEIGHT = 148
const MOST_SECONDS = 15 * 60
/** For a gate that has just started. */
const LEAST_SECONDS = 120

export function Plot(props: PlotProps) {
  const { title, about, at, lines, format, empty } = props
  const [hovered, hover] = useState<number | null>(null)
  const shown = hovered ?? at.length - 1
  const isEmpty = empty !== undefined && lines.length === 0
  const instead = at.length === 0 ? ASKING : isEmpty ? empty : null
  return (
    <figure class="plot">
      <figcaption>
        <h2 title={about}>{title}</h2>
        {hovered !== null && at[hovered] !== undefined && (
          <span class="quiet">{formatClock(at[hovered] * 1000)}</span>
        )}
      </figcaption>
      {instead === null ? <Canvas {...props} onHover={hover} /> : <p class="empty">{instead}</p>}
      <ul class="legend">
        {lines.map(({ label, values, color, isBound }) => (
          <li key={label}>
            <span class={`swatch ${color} ${isBound === true ? 'bound' : ''}`} />
            {label} <b>{formatKnown(values[shown], format)}</b>
          </li>
        ))}
      </ul>
    </figure>
  )
}

function Canvas(props: PlotProps & { onHover: (nth: number | null) => void }) {
  const { title, at, lines, format } = props
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const shape = lines.map(({ label, color }) => `${label}:${color}`).join()
  useEffect(() => {
    const made = new uPlot(optionsOf(props, place.current!.clientWidth), dataOf(props), place.current!)
    plot.current = made
    const sizes = new ResizeObserver(() =>
      made.setSize({ width: place.current?.clientWidth ?? 0, height: HEIGHT }),
    )
    sizes.observe(place.current!)
    const stop = onColorChange(() => made.redraw(false))
    return () => {
      stop()
      sizes.disconnect()
      made.destroy()
      plot.current = null
    }
  }, [shape])
  useEffect(() => plot.current?.setData(dataOf(props)), [at, lines])
  return <div ref={place} class="canvas" role="img" aria-label={`${title}: ${inWords(lines, format)}`} />
}

/** The range of each line, as a viewer would describe it. */
function inWords(lines: readonly Line[], format: (value: number) => string): string {
  const told = lines.map(({ label, values }) => {
    const known = values.filter((value) => value !== null)
    if (known.length === 0) return `${label}, nothing yet`
    const [least, most] = [Math.min(...known), Math.max(...known)]
    const now = format(known.at(-1)!)
    return least === most
      ? `${label}, steady at ${now}`
      : `${label}, now ${now}, from ${format(least)} to ${format(most)}`
  })
  return told.length === 0 ? 'nothing in the last 15 minutes' : told.join('; ')
}

function dataOf({ at, lines, isStacked }: PlotProps): uPlot.AlignedData {
  const rows = lines.map(({ values }) => [...values])
  if (isStacked === true) {
    for (let row = 1; row < rows.length; row++)
      for (let nth = 0; nth < at.length; nth++)
        rows[row]![nth] = (rows[row]![nth] ?? 0) + (rows[row - 1]![nth] ?? 0)
    // The highest first, or it would hide those below it.
    rows.reverse()
  }
  return [[...at], ...rows]
}

function optionsOf(
  props: PlotProps & { onHover: (nth: number | null) => void },
  width: number,
): uPlot.Options {
  const { lines, format, isStacked, onHover, incrs } = props
  const drawn = isStacked === true ? lines.toReversed() : lines
  return {
    width,
    height: HEIGHT,
    padding: [6, 6, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: 'page' }, y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: { x: { range: timeRange }, y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] } },
    axes: [
      axis({ space: 70, size: 26, values: (_, moments) => moments.map(minuteOf) }),
      axis({
        space: 30,
        size: 66,
        ...(incrs === undefined ? {} : { incrs: [...incrs] }),
        values: (_, marks) => marks.map((mark) => (mark === 0 ? '0' : format(mark))),
      }),
    ],
    series: [{}, ...drawn.map((line) => seriesOf(line, isStacked === true))],
    hooks: { setCursor: [(plot) => onHover(plot.cursor.idx ?? null)] },
  }
}

function timeRange(_: uPlot, first: number, last: number): [number, number] {
  return [last - Math.min(MOST_SECONDS, Math.max(LEAST_SECONDS, last - first)), last]
}

function minuteOf(moment: number): string {
  const clock = formatClock(moment * 1000)
  return moment % 60 === 0 ? clock.slice(0, 5) : clock
}

function axis(rest: Partial<uPlot.Axis>): uPlot.Axis {
  return {
    stroke: () => colorOf('muted'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: () => colorOf('line'), width: 1 },
    ticks: { show: false },
    ...rest,
  }
}

function seriesOf({ color, isBound }: Line, isBar: boolean): uPlot.Series {
  const stroke = (): string => colorOf(color)
  if (isBar)
    return {
      fill: stroke,
      width: 0,
      paths: uPlot.paths.bars!({ size: [1, 8], align: -1 }),
      points: { show: false },
    }
  if (isBound === true) return { stroke, width: 1, dash: [4, 4], points: { show: false } }
  return { stroke, width: 1.5, fill: () => `${colorOf(color)}1f`, points: { show: false } }
}
