import { test } from 'tap'
import { parseAllDocuments, stringify } from 'yaml'
import { ConfigError } from '../../src/core/errors.ts'
import { uninject } from '../../src/inject/undo.ts'
import { injectIt, names, read } from './snapshots.ts'

const deployment = (spec: string): string =>
  `apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    metadata:\n      labels: {app: web}\n    spec:\n${spec}      containers:\n        - name: app\n          ports:\n            - containerPort: 8080\n`
const service =
  '---\napiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n'
const undo = (text: string): string => uninject(text, 'f.yaml').text

test('what somebody has put beside ours since stays when ours is taken out', async (t) => {
  const text = deployment('') + service
  const { stdout } = injectIt([], text)
  const volume = '        - name: mine\n          emptyDir: {}\n'
  t.equal(
    undo(stdout.replace('      volumes:\n', `      volumes:\n${volume}`)),
    text.replace(/(containerPort: 8080\n)/, `$1      volumes:\n${volume}`),
  )
  const hook = '            postStart: {sleep: {seconds: 1}}\n'
  const ours = '          lifecycle:\n            preStop:\n              httpGet'
  t.ok(stdout.includes(ours))
  const held = stdout.replace(ours, ours.replace('lifecycle:\n', `lifecycle:\n${hook}`))
  t.match(undo(held), `          lifecycle:\n${hook}`)
  t.notMatch(undo(held), 'sidegate')
})

test('a key without a value gets one, and has none again', async (t) => {
  for (const space of ['', ' ', '  # why']) {
    const text = deployment(`      terminationGracePeriodSeconds:${space}\n      volumes:${space}\n`)
    const { stdout } = injectIt([], text)
    t.match(stdout, /terminationGracePeriodSeconds: 75/)
    t.equal(undo(stdout), text)
  }
})

test('a hook that was written as none is none again', async (t) => {
  const filled = [
    'lifecycle: {preStop: null}',
    'lifecycle: {preStop: ~, postStart: {sleep: {seconds: 1}}}',
    'lifecycle: ~  # none',
    'lifecycle:\n            preStop:',
    'lifecycle:\n            preStop: null   # none\n            postStart: {sleep: {seconds: 1}}',
  ]
  for (const words of filled) {
    const text = deployment('').replace('          ports:', `          ${words}\n          ports:`)
    const { stdout } = injectIt([], text)
    t.match(stdout, /preStop:.*\s*\{?httpGet/, words)
    t.equal(undo(stdout), text, words)
  }
})

test('another port of the gate in a later run is followed by Services and policies, and the first run is what is undone', async (t) => {
  const policy =
    '---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}, ingress: [{ports: [{port: 8080}, {port: 17021}]}]}\n'
  const text = deployment('') + service + policy
  const once = injectIt([], text).stdout
  const twice = injectIt(['--port', '8080:18000'], once).stdout
  t.match(twice, '{port: 80, targetPort: 18000}')
  t.match(twice, '[{port: 18000}, {port: 17021}]')
  t.match(twice, 'containerPort: 18000')
  t.notMatch(twice.replace(/sidegate\.yaml: \|[^]*?---/, ''), '17080')
  t.equal(undo(twice), text)
})

test('a port of UDP and a range are not the port of the application', async (t) => {
  const policy = (ports: string): string =>
    `---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}, ingress: [{ports: [${ports}]}]}\n`
  for (const ports of ['{port: 8080, protocol: UDP}', '{port: 8080, endPort: 8090}'])
    t.ok(injectIt([], deployment('') + service + policy(ports)).stdout.endsWith(policy(ports)), ports)
})

test('where nothing can be written between braces, that is said with its place', async (t) => {
  const text =
    'kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, ports: [{containerPort: 1}]}], volumes: }\n'
  t.throws(() => injectIt([], text), { message: /stdin:3:\d+ Pod\/p: volumes has no value, write one/ })
})

test('what inject has not changed is refused, and a sidecar without a record is told of', async (t) => {
  t.throws(
    () => undo(read('chat', 'in.yaml')),
    new ConfigError('f.yaml', [
      {
        line: 0,
        column: 0,
        path: '',
        message:
          'holds nothing that sidegate inject has changed (but Deployment/chat, Service/chat, Ingress/chat, HorizontalPodAutoscaler/chat, PodDisruptionBudget/chat)',
      },
    ]),
  )
  const out = injectIt([], deployment('') + service).stdout
  const other = out.replaceAll(/^.*sidegate\.io\/before: '\{"\/spec\/template.*\n/gm, '')
  t.match(uninject(other, 'f.yaml').notes, [
    'ConfigMap/web-sidegate: taken out, with what was changed in it since',
    'Deployment/web: has the sidecar, and no record of what it was before; take it out by hand, or apply what you had',
  ])
})

test('what a cluster gives back, in another order and as one List, is undone as well', async (t) => {
  for (const name of names.filter((one) => !['gateway-list', 'shop'].includes(one))) {
    const plainOf = (text: string): Record<string, unknown>[] =>
      parseAllDocuments(text, { merge: true })
        .map((document) => document.toJS() as Record<string, unknown>)
        .filter((object) => object !== null)
    const list = { apiVersion: 'v1', items: plainOf(read(name, 'out.yaml')), kind: 'List' }
    const given = stringify(list, {
      sortMapEntries: true,
      indentSeq: false,
      aliasDuplicateObjects: false,
      lineWidth: 0,
    })
    const [undone] = plainOf(undo(given)) as [{ items: unknown[] }]
    // What was empty before is empty, or not there: a cluster keeps no difference.
    t.strictSame(withoutEmpty(undone.items), withoutEmpty(plainOf(read(name, 'in.yaml'))), name)
  }
})

function withoutEmpty(value: unknown): unknown {
  const isEmpty = (one: unknown): boolean =>
    one === null || (typeof one === 'object' && Object.keys(one).length === 0)
  return JSON.parse(JSON.stringify(value), (_, one: unknown) => (isEmpty(one) ? undefined : one))
}
