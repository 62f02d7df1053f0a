import { test } from 'tap'
import { parseConfig } from '../../src/config/load.ts'
import type { GatePort } from '../../src/gate/messages.ts'
import { Gates } from '../../src/operator/gates.ts'
import type { Finding } from '../../src/upstream/finding.ts'

const config = parseConfig(
  'listeners: [{ address: "127.0.0.1:17080", protocol: tcp, upstream: "127.0.0.1:1" }]',
  'test.yaml',
)
const found: Finding = {
  kind: 'dial',
  key: 'l 127.0.0.1:1',
  failure: { at: 1, problem: 'ECONNREFUSED' },
  at: 1,
}

/** A gate that writes down what it is asked to. */
function gate() {
  const asked: Array<[keyof GatePort, unknown]> = []
  const port = new Proxy({} as GatePort, {
    get: (_, name: keyof GatePort) => (question: unknown) => {
      asked.push([name, question])
      return Promise.resolve(name === 'prepare' ? [17_080] : undefined)
    },
  })
  return { open: 0, port, asked, names: () => asked.map(([name]) => name) }
}

test('what one gate has found is told to the others, and to one that joins before it serves', async (t) => {
  const gates = new Gates()
  const [one, other, joining] = [gate(), gate(), gate()]
  gates.add(0, one)
  gates.add(1, other)
  await gates.apply(config, () => {})
  gates.onFound(0, found)
  t.same(other.asked.at(-1), ['learn', [found]])
  t.notOk(one.names().includes('learn'), 'who knows it is not told')
  gates.remove(1)
  await gates.join(1, joining)
  t.same(joining.names(), ['learn', 'prepare', 'commit', 'learn'])
  t.same(joining.asked[0], ['learn', [found]])
})
