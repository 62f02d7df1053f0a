// Reads the text format back, so that tests see the same as Prometheus.

export interface Samples {
  /** By the series as written: name and labels. */
  values: Map<string, number>
  get(name: string, labels?: Record<string, string>): number | undefined
  sum(name: string, labels?: Record<string, string>): number
  count(name: string, labels?: Record<string, string>): number
  /** Series of which the type says that they only go up. */
  counters(): Array<[string, number]>
}

export function readSamples(text: string): Samples {
  const values = new Map<string, number>()
  const counterNames = new Set<string>()
  for (const line of text.split('\n')) {
    const type = /^# TYPE (\S+) (counter|histogram)$/.exec(line)
    if (type) counterNames.add(type[1]!)
    if (line === '' || line.startsWith('#')) continue
    const sample = /^([a-z0-9_]+(?:\{.*\})?) (\S+)$/.exec(line)
    if (sample === null || values.has(sample[1]!)) throw new Error(`not a sample, or a second one: ${line}`)
    values.set(sample[1]!, Number(sample[2]))
  }

  function matching(name: string, labels: Record<string, string> = {}): number[] {
    const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
    const found: number[] = []
    for (const [series, value] of values) {
      const [seriesName, rest = ''] = series.split('{')
      if (seriesName === name && wanted.every((label) => rest.includes(label))) found.push(value)
    }
    return found
  }

  return {
    values,
    get(name, labels) {
      const found = matching(name, labels)
      if (found.length > 1)
        throw new Error(`${name} has ${found.length} series with ${JSON.stringify(labels)}`)
      return found[0]
    },
    sum: (name, labels) => matching(name, labels).reduce((sum, value) => sum + value, 0),
    count: (name, labels) => matching(name, labels).length,
    counters: () =>
      [...values].filter(([series]) =>
        counterNames.has(series.split('{')[0]!.replace(/_(bucket|sum|count)$/, '')),
      ),
  }
}
