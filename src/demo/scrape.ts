// A scrape of the gate's own metrics, over HTTP as Prometheus makes it.

export interface Sample {
  name: string
  labels: Readonly<Record<string, string>>
  value: number
}

export type Samples = readonly Sample[]

const samplePattern = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/
const labelPattern = /([a-z_]+)="([^"]*)"/g

export async function scrape(port: number): Promise<Samples> {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  const text = await response.text()
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = samplePattern.exec(line) ?? []
    if (name === undefined) return []
    return [
      {
        name,
        labels: Object.fromEntries(
          [...labels.matchAll(labelPattern)].map(([, key, content]) => [key, content]),
        ),
        value: Number(value),
      },
    ]
  })
}

/**
 * The sums of a metric by the values of one label, without those that are 0; `''` is the sum where there is
 * no such label.
 */
export function sums(samples: Samples, name: string, label: string): Map<string, number> {
  const byLabel = new Map<string, number>()
  for (const sample of samples) {
    if (sample.name !== name || sample.value === 0) continue
    const key = sample.labels[label] ?? ''
    byLabel.set(key, (byLabel.get(key) ?? 0) + sample.value)
  }
  return byLabel
}
