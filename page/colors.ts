// The colors of the page for a canvas. page.css defines them once, for light and for dark.

const dark = matchMedia('(prefers-color-scheme: dark)')
const known = new Map<string, string>()

export function onColorChange(run: () => void): () => void {
  dark.addEventListener('change', run)
  return () => dark.removeEventListener('change', run)
}

onColorChange(() => known.clear())

export function colorOf(name: string): string {
  let color = known.get(name)
  if (color === undefined) {
    color = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
    known.set(name, color)
  }
  return color
}

/** Distinct for viewers who see little color, too; the first is the calm one. */
const lineColors = ['c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7']

export function lineColor(nth: number): string {
  return lineColors[nth % lineColors.length]!
}
