import { test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { checkText } from '../../src/config/load.ts'
import { ConfigError } from '../../src/core/errors.ts'
import { inject, type InjectOptions } from '../../src/inject/inject.ts'
import { appPreStop, sidecarContainer, sidecarVolumes } from '../../src/inject/sidecar.ts'

const options: InjectOptions = {
  fileName: 'f.yaml',
  image: null,
  defaultImage: 'image:1',
  cpu: null,
  memory: null,
  ports: [],
  taken: [],
  container: null,
  only: null,
  configMap: 'cm',
  protocol: null,
  upstream: 'loopback',
  accept: [],
}
const door = (appPort: number, port: number | null = null): InjectOptions['ports'] => [
  { appPort, port, protocol: null },
]

// eslint-disable-next-line typescript/no-explicit-any -- what YAML holds
type Loose = any

interface Pod {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> }
  spec: Record<string, Loose>
}

const workload = (kind: string, spec: string, name = 'web'): string =>
  `apiVersion: apps/v1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n${spec.replaceAll(/^/gm, '  ')}\n`
const podSpec = 'containers:\n  - { name: app, image: legacy, ports: [{ name: http, containerPort: 8080 }] }'
const template = (spec = podSpec): string =>
  `template:\n  metadata: { labels: { app: web } }\n  spec:\n${spec.replaceAll(/^/gm, '    ')}`
const deployment = workload('Deployment', template())
const service = (port: string, more = ''): string =>
  `---\napiVersion: v1\nkind: Service\nmetadata: { name: web${more} }\nspec:\n  selector: { app: web }\n  ports:\n    - ${port}\n`

function run(
  text: string,
  changed: Partial<InjectOptions> = {},
): { text: string; notes: string[]; objects: Loose[] } {
  const injected = inject(text, { ...options, ...changed })
  return {
    text: injected.text,
    notes: [...injected.changes, ...injected.remarks.map(({ about, text: said }) => `${about}: ${said}`)],
    objects: parseAllDocuments(injected.text).map((document) => document.toJS() as unknown),
  }
}

function problem(text: string, changed: Partial<InjectOptions> = {}): string {
  try {
    run(text, changed)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'no problem'
}

test('every kind of workload gets the whole block, and its application is held until the drain is over', async (t) => {
  const kinds: [string, string, (object: Loose) => Pod][] = [
    ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'].map(
      (kind) =>
        [kind, workload(kind, template()), (object) => object.spec.template] as [
          string,
          string,
          (object: Loose) => Pod,
        ],
    ),
    [
      'CronJob',
      workload(
        'CronJob',
        `schedule: "* * * * *"\njobTemplate:\n  spec:\n${template().replaceAll(/^/gm, '    ')}`,
      ),
      (object) => object.spec.jobTemplate.spec.template,
    ],
    ['Pod', workload('Pod', podSpec), (object) => object],
  ]
  for (const [kind, text, podOf] of kinds) {
    const { metadata, spec } = podOf(run(text).objects[0])
    t.strictSame(spec['initContainers'], [sidecarContainer({ image: 'image:1', ports: [17_080] })], kind)
    t.strictSame(spec['volumes'], sidecarVolumes('cm'), kind)
    t.strictSame(spec['containers'][0].lifecycle, { preStop: appPreStop }, kind)
    t.equal(spec['terminationGracePeriodSeconds'], 75, kind)
    t.equal(metadata?.labels?.['sidegate.io/sidecar'], 'enabled', kind)
    t.equal(metadata?.annotations?.['kubectl.kubernetes.io/default-container'], 'app', kind)
  }
})

test('done twice it changes nothing, with or without a ConfigMap of its own', async (t) => {
  for (const configMap of ['cm', null]) {
    const once = run(deployment + service('{ port: 80, targetPort: 8080 }'), { configMap })
    const twice = run(once.text, { configMap })
    t.equal(twice.text, once.text)
    t.ok(twice.notes.includes('Deployment/web: has the sidecar already'))
  }
})

test('a newer image replaces the block where it stands, and nothing else', async (t) => {
  const old = run(
    workload('Deployment', template(`initContainers:\n  - { name: migrate, image: m }\n${podSpec}`)),
  )
  const { objects, notes } = run(old.text, { image: 'image:2' })
  t.strictSame(
    objects[0].spec.template.spec.initContainers.map(({ name, image }: Record<string, string>) => [
      name,
      image,
    ]),
    [
      ['sidegate', 'image:2'],
      ['migrate', 'm'],
    ],
  )
  t.ok(notes.includes('Deployment/web: initContainers: sidegate: image image:1 -> image:2'))
  t.equal(run(old.text, { image: 'image:2' }).text, old.text.replace('image:1', 'image:2'))
})

test('comments, order, quotes, octals, empty values and other documents stay as they are', async (t) => {
  const other = '---\n# a comment\n"kind":   Secret\nmetadata:   {name:   s}\ndata: {a:   0644}\n'
  const text = `# the shop\napiVersion: apps/v1\nkind: Deployment # its kind\nmetadata:\n  name: web\nspec:\n  replicas: 2\n  template:\n    spec:\n      # the only one\n      containers:\n      - name: "app" # quoted\n        ports:\n        - containerPort: 8080\n      volumes:\n      - name: keys\n        secret: {defaultMode: 0640}\n      - name: scratch\n        emptyDir:\n`
  const injected = run(text + other).text
  t.ok(injected.endsWith(other))
  // Without what was added, the text is what it was.
  const added = new Set(injected.split('\n'))
  for (const line of text.split('\n')) t.ok(added.has(line), line)
  t.match(injected, '      # the only one\n      containers:\n')
})

test('a Service in the same stream is pointed at the gate by number, whether it named the port or not', async (t) => {
  const ports = ['{ port: 80, targetPort: 8080 }', '{ port: 80, targetPort: http }', '{ port: 8080 }']
  for (const port of ports)
    t.equal(run(deployment + service(port)).objects[1].spec.ports[0].targetPort, 17_080, port)
})

test('a Service of other pods, another namespace or another port is left alone, and the operator is told', async (t) => {
  const others = [
    service('{ port: 80, targetPort: 8080 }').replace('app: web', 'app: other'),
    service('{ port: 80, targetPort: 8080 }', ', namespace: other'),
    service('{ port: 80, targetPort: 9090 }'),
    service('{ port: 80, targetPort: 8080 }').replace('{ app: web }', '{}'),
  ]
  for (const other of others) {
    const { text, notes } = run(deployment + other, { ports: door(8080) })
    t.ok(text.endsWith(other), other)
    t.ok(
      notes.includes(
        'Deployment/web: no Service in this file sends to its port 8080; set targetPort: 17080 in the one that does',
      ),
      other,
    )
  }
})

test('without --config-map a ConfigMap is written that sidegate check accepts', async (t) => {
  for (const protocol of ['http', 'tcp'] as const) {
    const { objects } = run(deployment.replace('{ name: web }', '{ name: web, namespace: shop }'), {
      configMap: null,
      protocol,
    })
    const [{ metadata, data }, { spec }] = objects
    t.match(metadata, { name: 'web-sidegate', namespace: 'shop' })
    t.equal(spec.template.spec.volumes[0].configMap.name, 'web-sidegate')
    const { config, warnings, notes } = checkText(data['sidegate.yaml'], 'sidegate.yaml')
    t.match(config.listeners[0], {
      name: `${protocol}-17080`,
      protocol,
      upstream: { addresses: [{ host: '127.0.0.1', port: 8080 }] },
    })
    t.strictSame([warnings, notes], [[], []])
    t.strictSame(
      config.listeners[0]?.http.trustForwarded,
      protocol === 'http' ? ['private'] : [],
      'an ingress is believed',
    )
    t.equal(
      data['sidegate.yaml'].includes('# An ingress at a private address is believed'),
      protocol === 'http',
      'with its reason',
    )
  }
})

test('a ConfigMap that does not listen where the Service will send is pointed out', async (t) => {
  const configMap =
    'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: cm }\ndata: { sidegate.yaml: "listeners: [{ address: \\":9999\\" }]" }\n---\n'
  t.match(
    run(configMap + deployment).notes.join('\n'),
    'ConfigMap/cm: its sidegate.yaml has no listener with address ":17080"',
  )
  t.notMatch(run(configMap.replace('9999', '17080') + deployment).notes.join('\n'), 'ConfigMap/cm')
})

test('a ConfigMap that does not say whether an ingress is before its http listener is pointed out', async (t) => {
  const notes = (keys: string): string => {
    const configMap = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: cm }\ndata:\n  sidegate.yaml: |\n    listeners:\n      - address: ":17080"\n        ${keys}\n---\n`
    return run(configMap + deployment).notes.join('\n')
  }
  const pointed =
    'ConfigMap/cm: its sidegate.yaml has no http.trustForwarded: behind an ingress write [private]'
  for (const keys of ['protocol: http', 'protocol: "http"', 'protocol: http # no trustForwarded: here'])
    t.match(notes(keys), pointed, keys)
  for (const keys of [
    'protocol: tcp',
    'protocol: http\n        http: { trustForwarded: [] }',
    'protocol: http\n        proxyProtocol: { accept: any }',
  ])
    t.notMatch(notes(keys), 'ConfigMap/cm', keys)
})

test('a ConfigMap that the probes, hooks or volumes of the sidecar do not fit is pointed out', async (t) => {
  const notes = (keys: string, target = deployment, changed: Partial<InjectOptions> = {}): string[] =>
    run(
      `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: cm }\ndata:\n  sidegate.yaml: |\n    listeners: [{ address: ":17080", protocol: tcp }]\n    ${keys}\n---\n${target}`,
      changed,
    ).notes.filter((note) => note.includes('ConfigMap/cm'))
  const table: [string, RegExp][] = [
    ['health: { address: ":9021" }', /its health.address is :9021, .* write ":17021"/],
    ['health: { address: "127.0.0.1:17021" }', /its health.address is 127.0.0.1:17021/],
    ['health: { address: "unix:/tmp/h.sock" }', /its health.address is unix:/],
    ['admin: { address: "unix:/tmp/a.sock" }', /its admin.address is unix:\/tmp\/a.sock, .* add "-c"/],
    ['admin: { address: ":9020" }', /its admin.address is :9020/],
    ['admin: { tokenFile: /tmp/token }', /its admin.tokenFile is \/tmp\/token/],
    [
      'drain: { timeout: 2m }',
      /its drain.timeout is 2m, and the pod is killed after 75 s; .* to 130 or more/,
    ],
    ['health: { address: "${HEALTH}" }', /names \$\{HEALTH\}, .* would not start; add it there/],
    ['drain: { timeout: "${DRAIN}${DRAIN}" }', /names \$\{DRAIN\}, /],
    ['upstream: "${POD_IP}:80"', /names \$\{POD_IP\}, .*; say --upstream pod-ip, or/],
    ['shared: { redis: { passwordFile: /run/redis/password } }', /names \/run\/redis\/password, and/],
    ['upstream: "unix:/run/app/app.sock"', /names \/run\/app\/app.sock, and/],
    ['tls: [{ cert: /etc/sidegatex/a, key: /k }, { key: /k }]', /names \/etc\/sidegatex\/a, \/k, and/],
  ]
  for (const [keys, words] of table) {
    t.equal(notes(keys).length, 1, keys)
    t.match(notes(keys)[0], words)
  }
  for (const keys of [
    'health: { address: "0.0.0.0:17021" }',
    'health: ',
    'admin: { address: ":17020", tokenFile: off }',
    'admin: { tokenFile: ',
    'drain: { timeout: 65s }',
    'upstream: "${BACKEND_SERVICE_HOST}:80" # ${COMMENT}',
    'upstream: "$${NOT}"',
    'tls: { cert: /etc/sidegate/tls.crt }',
    'upstream: { health: { path: /live } }',
  ])
    t.strictSame(notes(keys), [], keys)
  const longer = deployment.replace(/^( *)containers:/m, '$1terminationGracePeriodSeconds: 130\n$&')
  t.strictSame(notes('drain: { timeout: 2m }', longer), [])
  t.strictSame(notes('upstream: "${POD_IP}:80"', deployment, { upstream: 'pod-ip' }), [])
  const own = run(deployment)
    .text.replace(/^( *)- drain\n/m, '$&$1- -c\n$1- /etc/sidegate/sidegate.yaml\n')
    .replaceAll('port: 17021', 'port: 9021')
    .replace(
      /^( *)volumeMounts:\n( *)/m,
      '$1env: [{ name: OTHER, value: a }]\n$&- { name: tls, mountPath: /tls }\n$2',
    )
  for (const keys of [
    'admin: { address: ":9020" }',
    'health: { address: ":9021" }',
    'tls: { cert: /tls/tls.crt }',
    'upstream: "${OTHER}:80"',
  ]) {
    t.strictSame(notes(keys, own), [], `what an operator has changed in the sidecar counts: ${keys}`)
    t.equal(notes(keys).length, 1, keys)
  }
  const from = own.replace('env: [', 'envFrom: [{ configMapRef: { name: a } }]\n          env: [')
  t.strictSame(notes('upstream: "${FROM}:80"', from), [], 'nobody knows what comes from elsewhere')
})

test('Lists are looked into', async (t) => {
  const item = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web' },
    spec: { template: { spec: { containers: [{ name: 'app', ports: [{ containerPort: 8080 }] }] } } },
  }
  const [list] = run(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'List',
      items: [item, { kind: 'Secret', metadata: { name: 's' } }],
    }),
  ).objects
  t.equal(list.items[0].spec.template.spec.initContainers[0].name, 'sidegate')
  t.strictSame(list.items[1], { kind: 'Secret', metadata: { name: 's' } })
})

test('a hook of the application and its longer grace stay', async (t) => {
  const own = workload(
    'Deployment',
    template(
      `terminationGracePeriodSeconds: 300\n${podSpec.replace(' }] }', ' }], lifecycle: { preStop: { sleep: { seconds: 5 } } } }')}`,
    ),
  )
  const { objects, notes } = run(own)
  t.equal(objects[0].spec.template.spec.terminationGracePeriodSeconds, 300)
  t.strictSame(objects[0].spec.template.spec.containers[0].lifecycle, { preStop: { sleep: { seconds: 5 } } })
  t.ok(
    notes.some((note) =>
      note.startsWith(
        'Deployment/web: container app has a preStop hook of its own, which stays; let it end after GET :17021/drain/wait does',
      ),
    ),
  )
  const short = run(workload('Deployment', template(`terminationGracePeriodSeconds: 74 # short\n${podSpec}`)))
  t.match(short.text, 'terminationGracePeriodSeconds: 75 # short')
})

test('another default container stays, and labels and annotations that are there are added to', async (t) => {
  const marked = deployment.replace(
    '{ labels: { app: web } }',
    '{ labels: { app: web }, annotations: { a: b, kubectl.kubernetes.io/default-container: other } }',
  )
  const { metadata } = run(marked).objects[0].spec.template
  t.strictSame(metadata, {
    labels: { app: 'web', 'sidegate.io/sidecar': 'enabled' },
    annotations: { a: 'b', 'kubectl.kubernetes.io/default-container': 'other' },
  })
})

test('of several containers the one that serves the port is taken, or the one that is named', async (t) => {
  const two = (second: string): string => workload('Deployment', template(`${podSpec}\n  - ${second}`))
  const held = (text: string, changed: Partial<InjectOptions> = {}): string[] =>
    run(text, changed)
      .objects[0].spec.template.spec.containers.filter(
        ({ lifecycle }: Record<string, unknown>) => lifecycle !== undefined,
      )
      .map(({ name }: { name: string }) => name)
  t.strictSame(held(two('{ name: log, image: l }')), ['app'])
  t.strictSame(held(two('{ name: other, ports: [{ containerPort: 9090 }] }'), { ports: door(9090) }), [
    'other',
  ])
  t.strictSame(held(two('{ name: other, image: o }'), { ports: door(5000), container: 'other' }), ['other'])
  t.equal(
    problem(two('{ name: other, ports: [{ containerPort: 9090 }] }')),
    'f.yaml:1:1 Deployment/web: has the containers app, other: say which one the gate is for with --container NAME',
  )
})

test('workloads that serve nothing are left as they are', async (t) => {
  const worker = `---\n${workload('Deployment', template('containers:\n  - { name: app, image: w }'), 'worker')}`
  const { text, notes } = run(deployment + worker)
  t.ok(text.endsWith(worker))
  t.ok(notes.includes('Deployment/worker: no container that the gate could be for, left as it is'))
  t.equal(
    run(deployment + worker, { only: 'worker', ports: door(80) }).objects[0].spec.template.spec
      .initContainers,
    undefined,
  )
})

test('what cannot be done names the place and the remedy', async (t) => {
  const table: [string, string, Partial<InjectOptions>?][] = [
    ['a: [', 'f.yaml:1:5 is not YAML: '],
    [`${deployment}---\na: b: c\n`, 'f.yaml:11:4 is not YAML: nested mappings'],
    [
      '',
      'f.yaml holds no Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod (nor any other object of Kubernetes)',
    ],
    [
      service('{ port: 1 }'),
      'f.yaml holds no Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob or Pod (but Service/web)',
    ],
    [deployment, 'f.yaml holds no workload named shop (but Deployment/web)', { only: 'shop' }],
    [
      workload('Deployment', template('containers: [{ name: app }]')),
      'f.yaml Deployment/web: no container declares a TCP port; say which one the application listens on with --port 8080:17080',
    ],
    [
      deployment,
      'f.yaml Deployment/web: no container named shop that declares a TCP port; see --container and --port',
      { container: 'shop', ports: door(80) },
    ],
    [
      deployment.replace('containerPort: 8080', 'containerPort: 8080, protocol: UDP'),
      'f.yaml Deployment/web: no container declares a TCP port',
    ],
    [
      deployment.replace(' }] }', ' }, { containerPort: 9090 }] }'),
      'f.yaml:1:1 Deployment/web: container app has the ports 8080, 9090, and no Service in this file says which are meant: name each with --port 8080:17080',
    ],
    [
      deployment,
      'f.yaml:1:1 Deployment/web: port 8080 belongs to the application; give the gate another one with --port 8080:8081',
      { ports: door(8080, 8080) },
    ],
    [
      workload('Deployment', template(`${podSpec}\n  - { name: other, ports: [{ containerPort: 17080 }] }`)),
      'f.yaml:1:1 Deployment/web: port 17080 belongs to the application; give the gate another one with --port 8080:17081',
      { ports: door(8080) },
    ],
    [
      deployment.replace('name: app', 'name: sidegate'),
      'f.yaml:1:1 Deployment/web: has sidegate among its containers; remove it there, it is added to initContainers',
    ],
    [
      `${deployment}---\n${workload('StatefulSet', template(podSpec.replace('8080', '9090')))}`,
      'f.yaml:11:1 StatefulSet/web: shares its name, and so ConfigMap/web-sidegate, with another workload here; write one for both',
      { configMap: null },
    ],
    [workload('Deployment', 'replicas: 1'), 'f.yaml:1:1 Deployment/web: has no template, write one'],
    [
      workload('Deployment', 'template: { spec: { containers: [] } }'),
      'f.yaml:1:1 Deployment/web: has no containers',
    ],
    [
      workload(
        'Deployment',
        `x: &x { spec: { containers: [{ name: app, ports: [{ containerPort: 1 }] }] } }\ntemplate: *x`,
      ),
      'f.yaml:6:13 Deployment/web: template is an alias (*x), write it out',
    ],
    [workload('Deployment', 'template: []'), 'f.yaml:1:1 Deployment/web: template is not a map, write one'],
  ]
  for (const [text, expected, changed] of table)
    t.equal(problem(text, changed).slice(0, expected.length), expected)
})

test('the added text is YAML as the file has it: its indentation, its lists, its braces', async (t) => {
  const four =
    'kind: Pod\nmetadata:\n    name: p\nspec:\n    containers:\n        - name: app\n          ports:\n              - containerPort: 1\n'
  t.match(run(four).text, '\n    initContainers:\n        - name: sidegate\n')
  const flat =
    'kind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: app\n    ports:\n    - containerPort: 1\n'
  t.match(run(flat).text, '\n  initContainers:\n  - name: sidegate\n')
  t.equal((parse(run(flat).text) as Pod).spec['containers'][0].ports[0].containerPort, 1)
})
