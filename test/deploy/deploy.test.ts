import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { test, type Test } from 'tap'
import { parse } from 'yaml'
import { checkText } from '../../src/config/load.ts'
import { FLAGS } from '../../src/cli/flags.ts'
import { appPreStop } from '../../src/inject/sidecar.ts'
import { needs, temporary } from '../support/tools.ts'
import { type KubernetesObject, type Loose, objectsOf, problemsOf } from './kubernetes.ts'
import { kustomize, options, patched, root } from './tools.ts'

const deploy = join(root, 'deploy')
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')

function build(directory: string): KubernetesObject[] {
  const { status, stdout, stderr } = kustomize(join(deploy, directory))
  if (status !== 0) throw new Error(stderr)
  return objectsOf(stdout)
}

test(
  'kustomize renders the manifests and the example, strictly valid, with a configuration that Sidegate accepts',
  options,
  async (t) => {
    for (const directory of ['manifests', 'kustomize/example/base', 'kustomize/example/overlay']) {
      const objects = build(directory)
      t.strictSame(await problemsOf(objects), [], directory)
      const texts = objects.flatMap(({ kind, data }) =>
        kind === 'ConfigMap' ? [data['sidegate.yaml'] as string] : [],
      )
      t.equal(texts.length, directory.endsWith('base') ? 0 : 1)
      for (const text of texts) {
        const { config, warnings, notes } = checkText(text, 'sidegate.yaml')
        t.strictSame(
          [warnings, notes, config.listeners[0]?.http.trustForwarded],
          [[], [], ['private']],
          'and an ingress is believed',
        )
        t.match(text, '# An ingress at a private address is believed')
      }
    }
  },
)

test('the image starts with the flags that a gate would replace its process for', (t) => {
  const [, options] = /^ +NODE_OPTIONS="(.*)"$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))!
  for (const flag of FLAGS) t.ok(options!.split(' ').includes(flag), flag)
  t.end()
})

test('every file that is no kustomization is in one, or is a patch, a legacy original, or part of compose', async (t) => {
  const files = globSync('**/*.yaml', { cwd: deploy }).filter(
    (path) =>
      !/^(compose|patch|manifests\/legacy|monitoring)\//.test(path) && !path.endsWith('kustomization.yaml'),
  )
  const named = globSync('**/kustomization.yaml', { cwd: deploy }).flatMap((path) => {
    const {
      resources = [],
      patches = [],
      configMapGenerator = [],
    } = parse(read(path)) as {
      resources?: string[]
      patches?: { path: string }[]
      configMapGenerator?: { files: string[] }[]
    }
    return [
      ...resources,
      ...patches.map((patch) => patch.path),
      ...configMapGenerator.flatMap(({ files }) => files),
    ].map((name) => join(dirname(path), name))
  })
  t.ok(files.length >= 9)
  for (const file of files) t.ok(named.includes(file), file)
})

test('the component takes what is labelled and leaves the rest', options, async (t) => {
  const [base, overlay] = [build('kustomize/example/base'), build('kustomize/example/overlay')]
  const find = (objects: KubernetesObject[], title: string): Loose =>
    objects.find(({ kind, metadata }) => `${kind}/${metadata.name}` === title)
  t.strictSame(find(overlay, 'Deployment/worker'), find(base, 'Deployment/worker'))
  t.strictSame(find(overlay, 'Service/chat').spec.ports, [{ port: 80, targetPort: 17_080 }])
  t.equal(find(overlay, 'Deployment/chat').spec.template.spec.containers[0].image, 'example.com/chat:1.0.0')
  t.ok(find(overlay, 'ConfigMap/sidegate-config'), 'without a hash in its name')
})

test(
  'the manifests close the way around the gate, and the Service leads to a port that the configuration listens on',
  options,
  async (t) => {
    const objects = build('manifests')
    const of = (kind: string): Loose => objects.find((object) => object.kind === kind)
    const { config } = checkText(of('ConfigMap').data['sidegate.yaml'], 'sidegate.yaml')
    const [{ address, upstream }] = config.listeners as [Loose]
    t.equal(of('Service').spec.ports[0].targetPort, address.port)
    t.equal(
      of('Deployment').spec.template.spec.containers[0].ports[0].containerPort,
      upstream.addresses[0].port,
    )
    const reachable = of('NetworkPolicy').spec.ingress.flatMap(({ ports }: Loose) =>
      ports.map(({ port }: Loose) => port),
    )
    t.strictSame(reachable, [17_080, 17_021])
    for (const kind of ['Service', 'NetworkPolicy', 'PodDisruptionBudget']) {
      const { selector, podSelector } = of(kind).spec
      for (const [label, value] of Object.entries(
        podSelector?.matchLabels ?? selector.matchLabels ?? selector,
      ))
        t.equal(of('Deployment').spec.template.metadata.labels[label], value, kind)
    }
  },
)

test('the component takes StatefulSets and DaemonSets, too', options, async (t) => {
  const directory = temporary(t)
  for (const kind of ['StatefulSet', 'DaemonSet']) {
    const more = kind === 'StatefulSet' ? { serviceName: 's' } : {}
    const object = {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name: 's', labels: { 'sidegate.io/sidecar': 'enabled' } },
      spec: {
        ...more,
        selector: { matchLabels: { app: 's' } },
        template: { metadata: { labels: { app: 's' } }, spec: { containers: [{ name: 'any', image: 'i' }] } },
      },
    }
    writeFileSync(join(directory, 'object.yaml'), JSON.stringify(object))
    writeFileSync(
      join(directory, 'kustomization.yaml'),
      JSON.stringify({
        resources: ['object.yaml'],
        components: [relative(directory, join(deploy, 'kustomize/component'))],
      }),
    )
    const { status, stdout, stderr } = kustomize(directory)
    t.equal(status, 0, stderr)
    const [built] = objectsOf(stdout) as [Loose]
    t.strictSame(
      [
        built.kind,
        built.metadata.name,
        built.spec.template.spec.initContainers[0].name,
        built.spec.template.spec.containers.length,
      ],
      [kind, 's', 'sidegate', 1],
    )
    t.strictSame(await problemsOf([built]), [])
  }
})

test('kubectl patches the legacy service with the patches, strictly valid', options, async (t) => {
  const { text, refused } = patched(t, readFileSync(join(deploy, 'manifests/legacy/deployment.yaml'), 'utf8'))
  t.equal(refused, null)
  const objects = objectsOf(text)
  t.strictSame(await problemsOf(objects), [])
  const { spec } = (objects[0] as Loose).spec.template
  t.strictSame(
    [spec.initContainers.length, spec.containers.length, spec.containers[0].command.length],
    [1, 1, 4],
  )
})

/** Parts that an application may have of its own, each with the label by which the component leaves it. */
const own: [string, object, Record<string, string>, string][] = [
  [
    'a grace',
    { terminationGracePeriodSeconds: 300 },
    { 'sidegate.io/grace': 'own' },
    '/terminationGracePeriodSeconds',
  ],
  ...[{ exec: { command: ['a'] } }, { httpGet: { port: 80 } }, { sleep: { seconds: 1 } }].map(
    (preStop): [string, object, Record<string, string>, string] => [
      `a preStop of ${Object.keys(preStop)[0]}`,
      { containers: [{ name: 'any', image: 'i', lifecycle: { preStop } }] },
      { 'sidegate.io/hook': 'own' },
      '/containers/0/lifecycle',
    ],
  ),
  [
    'a postStart',
    { containers: [{ name: 'any', image: 'i', lifecycle: { postStart: { exec: { command: ['a'] } } } }] },
    { 'sidegate.io/hook': 'post-start' },
    '/containers/0/lifecycle',
  ],
]
const workloadOf = (spec: object, labels: object): Loose => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 's', labels: { 'sidegate.io/sidecar': 'enabled', ...labels } },
  spec: {
    selector: { matchLabels: { app: 's' } },
    template: {
      metadata: { labels: { app: 's' } },
      spec: { containers: [{ name: 'any', image: 'i' }], ...spec },
    },
  },
})

function withComponent(t: Test, object: object): { built: Loose; refused: string | null } {
  const directory = temporary(t)
  writeFileSync(join(directory, 'object.yaml'), JSON.stringify(object))
  const components = [relative(directory, join(deploy, 'kustomize/component'))]
  writeFileSync(
    join(directory, 'kustomization.yaml'),
    JSON.stringify({ resources: ['object.yaml'], components }),
  )
  const { status, stdout, stderr } = kustomize(directory)
  return status === 0 ? { built: objectsOf(stdout)[0], refused: null } : { built: null, refused: stderr }
}

test(
  'component and patches keep the hooks and the grace of an application, or are refused at their path',
  options,
  async (t) => {
    for (const [what, spec, labels, path] of own) {
      const unlabelled = workloadOf(spec, {})
      t.match(withComponent(t, unlabelled).refused, `testing value /spec/template/spec${path} failed`, what)
      t.match(
        patched(t, JSON.stringify(unlabelled)).refused,
        `testing value /spec/template/spec${path} failed`,
        `${what}, patched`,
      )
      const { built, refused } = withComponent(t, workloadOf(spec, labels))
      t.equal(refused, null, what)
      t.strictSame(await problemsOf([built]), [], what)
      const { terminationGracePeriodSeconds, containers, initContainers } = built.spec.template.spec
      t.equal(initContainers[0].name, 'sidegate', what)
      const expected = {
        terminationGracePeriodSeconds: 75,
        containers: [{ name: 'any', image: 'i' }],
        ...spec,
      } as Loose
      t.equal(terminationGracePeriodSeconds, expected.terminationGracePeriodSeconds, what)
      const before = expected.containers[0].lifecycle ?? {}
      t.strictSame(
        containers[0].lifecycle,
        before.preStop === undefined ? { ...before, preStop: appPreStop } : before,
        what,
      )
    }
    const mixed = workloadOf(
      {
        containers: [
          {
            name: 'any',
            image: 'i',
            lifecycle: { postStart: { sleep: { seconds: 1 } }, preStop: { sleep: { seconds: 1 } } },
          },
        ],
      },
      { 'sidegate.io/hook': 'post-start' },
    )
    t.match(
      withComponent(t, mixed).refused,
      'lifecycle/preStop failed',
      'a label that says less than there is',
    )
  },
)

test(
  'the component turns the one port of a Service, or the one that is named, and never guesses',
  options,
  async (t) => {
    const service = (ports: object[], labels: object): object => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 's', labels: { 'sidegate.io/sidecar': 'enabled', ...labels } },
      spec: { selector: { app: 's' }, ports },
    })
    const [metrics, web] = [
      { name: 'metrics', port: 9090, targetPort: 'metrics' },
      { name: 'web', port: 80, targetPort: 'web' },
    ]
    t.match(withComponent(t, service([metrics, web], {})).refused, 'testing value /spec/ports/0/name failed')
    const { built } = withComponent(t, service([metrics, web], { 'sidegate.io/port': 'second' }))
    t.strictSame(built.spec.ports, [metrics, { ...web, targetPort: 17_080 }])
    const { built: first } = withComponent(t, service([web, metrics], { 'sidegate.io/port': 'first' }))
    t.strictSame(first.spec.ports, [{ ...web, targetPort: 17_080 }, metrics])
    const { built: only } = withComponent(t, service([{ port: 80 }], {}))
    t.strictSame(only.spec.ports, [{ port: 80, targetPort: 17_080 }])
  },
)

test('compose of a fleet mounts what there is, and its gates share their limits', (t) => {
  const { services } = parse(read('compose/fleet.yaml')) as { services: Record<string, Loose> }
  const mounted = Object.values(services).flatMap(({ volumes }) => (volumes ?? []) as string[])
  t.same(
    mounted.filter((volume) => !existsSync(join(deploy, 'compose', volume.split(':')[0]!))),
    [],
  )
  const { config, warnings } = checkText(read('compose/fleet/sidegate.yaml'), 'sidegate.yaml')
  t.same(warnings, [])
  t.match(config.listeners[0]!.limits, {
    connectionsPerClient: { scope: 'fleet' },
    messages: { scope: 'fleet' },
  })
  t.end()
})

test('compose mounts what there is, checks health by a command of the program, and has no way around the gate', async (t) => {
  const { services } = parse(read('compose/docker-compose.yaml')) as { services: Record<string, Loose> }
  // Made by their own generators; an empty folder serves as well.
  const later = /^\.\.\/(monitoring|grafana):/
  for (const [name, { volumes = [] }] of Object.entries(services)) {
    for (const volume of volumes as string[])
      t.ok(
        later.test(volume) || existsSync(join(deploy, 'compose', volume.split(':')[0]!)),
        `${name}: ${volume}`,
      )
  }
  t.equal(services['legacy']!.ports, undefined)
  t.strictSame(services['sidegate']!.ports, ['17080:17080'])
  const { config, warnings, notes } = checkText(read('compose/config/sidegate.yaml'), 'sidegate.yaml')
  t.match(config.listeners[0], {
    http: { trustForwarded: ['private'] },
    upstream: { addresses: [{ host: 'legacy', port: 8080 }] },
  })
  t.strictSame([warnings, notes], [[], []])
  const {
    providers: [provider],
  } = parse(read('compose/provisioning/dashboards/sidegate.yaml')) as { providers: Loose[] }
  t.ok(
    (services['grafana']!.volumes as string[]).some(
      (volume) => volume.split(':')[1] === provider.options.path,
    ),
  )
  t.match(parse(read('compose/provisioning/datasources/prometheus.yaml')), {
    datasources: [{ url: 'http://prometheus:9090' }],
  })
})

test('promtool accepts the configuration of Prometheus', needs('promtool'), async (t) => {
  // Without the rules, which stand elsewhere in the container.
  const file = join(temporary(t), 'prometheus.yaml')
  writeFileSync(file, read('compose/prometheus.yaml').replace(/rule_files:\n.*\n/, ''))
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'config', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
})
