import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { checkText } from '../../src/config/load.ts'

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')

test('the generated documents are up to date', async (t) => {
  const generate = new URL('../../docs/generate.ts', import.meta.url).pathname
  const { status, stderr } = spawnSync(process.execPath, [generate, '--check'], { encoding: 'utf8' })
  t.equal(stderr, '')
  t.equal(status, 0)
})

test('every example in the documentation is valid and raises no warning', async (t) => {
  const examples = [...read('configuration.md').matchAll(/```yaml\n([^]*?)```/g)]
    .map(([, text = '']) => text)
    .filter((text) => text.includes('listeners:'))
  t.equal(examples.length, 2)
  const [smallest, full] = examples.map((text) => checkText(text, 'f'))
  // The full one names its listener and sets derived values; its jitter without a lifetime only shows the key.
  t.strictSame(
    full?.warnings.map(({ path }) => path),
    ['listeners[0].deadlines.lifetimeJitter'],
  )
  t.strictSame(smallest?.warnings, [])
})

test('the full example is made of the defaults', async (t) => {
  const [, , text = ''] = [...read('configuration.md').matchAll(/```yaml\n([^]*?)```/g)].map(
    ([, inner = '']) => inner,
  )
  const written = checkText(text, 'f').config
  const { config } = checkText(
    'listeners: [{ name: app, address: ":17080", protocol: http, upstream: "127.0.0.1:8080" }]',
    'f',
  )
  const expected = structuredClone(config)
  const [listener] = expected.listeners
  if (listener === undefined) throw new Error('no listener')
  listener.limits.connections = 10_000
  listener.upstream.retryForMs = 5000
  Object.assign(listener.upstream.healthCheck, { host: 'app.example' })
  t.strictSame(written, expected)
})
