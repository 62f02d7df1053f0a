import { test } from 'tap'
import { ConfigError } from '../../src/core/errors.ts'
import { codes } from '../../src/inject/judges/judge.ts'
import { injectIt, names, read, type Run } from './snapshots.ts'

/** A pod of one container that says of itself what is asked, behind a Service. */
function manifest({
  kind = 'Deployment',
  spec = '',
  container = '',
  objects = '',
  pod = '',
}: Partial<Record<string, string>>) {
  return `apiVersion: apps/v1
kind: ${kind}
metadata: {name: web}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}${pod}}
    spec:
      ${spec}
      containers:
      - name: app
        ports: [{name: http, containerPort: 8080}]
        ${container}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
${objects}`
}

const run = (text: string, ...args: string[]): Run => injectIt(args, text)
const remarks = (text: string, ...args: string[]): string[] =>
  run(text, ...args)
    .stderr.split('\n')
    .flatMap((line) => /^note: \S+ \[(.*?)\]/.exec(line)?.[1] ?? [])

function refusal(text: string, ...args: string[]): string {
  try {
    run(text, ...args)
    return 'not refused'
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
}

test('an ordinary manifest leaves nothing to say', async (t) => {
  t.strictSame(remarks(manifest({})), [])
})

test('each judge speaks of its matter, and of nothing that only looks like it', async (t) => {
  const policy = (spec: string): string =>
    `---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: ${spec}\n`
  const budget = (spec: string): string =>
    `---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {selector: {matchLabels: {app: web}}, ${spec}}\n`
  const scaler = (metric: string, name = 'web'): string =>
    `---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: h}\nspec: {scaleTargetRef: {kind: Deployment, name: ${name}}, metrics: [${metric}]}\n`
  const second = (spec: string): string =>
    `---\napiVersion: v1\nkind: Service\nmetadata: {name: other}\nspec: {selector: {app: web}, ${spec}}\n`
  const scraped = '{ports: [{port: 17021}]}'
  const table: [string, Parameters<typeof manifest>[0], string[]][] = [
    ['a hook', { container: 'lifecycle: {preStop: {sleep: {seconds: 3}}}' }, ['own-hook']],
    ['a postStart alone', { container: 'lifecycle: {postStart: {exec: {command: [a]}}}' }, []],
    ['our own hook', { container: 'lifecycle: {preStop: {httpGet: {path: /drain/wait, port: 17021}}}' }, []],
    [
      'limits that make it Guaranteed',
      { container: 'resources: {limits: {cpu: 1, memory: 1Gi}}' },
      ['guaranteed'],
    ],
    [
      'limits and less in requests',
      { container: 'resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 500m}}' },
      [],
    ],
    ['a limit of memory alone', { container: 'resources: {limits: {memory: 1Gi}}' }, []],
    [
      'a scaler by CPU of the pod',
      { objects: scaler('{type: Resource, resource: {name: cpu}}') },
      ['autoscaler'],
    ],
    [
      'a scaler by CPU of the container',
      { objects: scaler('{type: ContainerResource, containerResource: {name: cpu, container: app}}') },
      [],
    ],
    ['a scaler of another', { objects: scaler('{type: Resource, resource: {name: cpu}}', 'other') }, []],
    ['a budget of none', { objects: budget('maxUnavailable: 0') }, ['disruption-budget']],
    ['a budget of as many as there are', { objects: budget('minAvailable: 2') }, ['disruption-budget']],
    ['a budget of one', { objects: budget('minAvailable: 1') }, []],
    ['a Job', { kind: 'Job' }, ['job']],
    [
      'a headless Service beside it',
      { objects: second('clusterIP: None, ports: [{port: 8080}]') },
      ['headless'],
    ],
    [
      'a headless Service for another port',
      { objects: second('clusterIP: None, ports: [{port: 9999}]') },
      [],
    ],
    [
      'a Service for clients from outside',
      { objects: second('type: LoadBalancer, ports: [{port: 80, targetPort: 8080}]') },
      ['direct-clients'],
    ],
    [
      'a policy that admits the port',
      {
        objects: policy(
          `{podSelector: {matchLabels: {app: web}}, ingress: [{ports: [{port: 8080}]}, ${scraped}]}`,
        ),
      },
      [],
    ],
    [
      'a policy that admits every port',
      { objects: policy('{podSelector: {}, ingress: [{}]}') },
      ['network-policy'],
    ],
    [
      'a policy that admits a range',
      { objects: policy(`{podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 9000}]}, ${scraped}]}`) },
      ['network-policy'],
    ],
    [
      'a policy that lets nobody scrape',
      { objects: policy('{podSelector: {}, ingress: [{ports: [{port: http}]}]}') },
      ['network-policy'],
    ],
    [
      'a policy of others',
      { objects: policy('{podSelector: {matchLabels: {app: other}}, ingress: [{}]}') },
      [],
    ],
    ['a policy that admits nobody', { objects: policy('{podSelector: {}}') }, []],
    [
      'a StatefulSet behind a policy',
      {
        kind: 'StatefulSet',
        objects: policy(`{podSelector: {}, ingress: [{ports: [{port: 8080}]}, ${scraped}]}`),
      },
      ['peers'],
    ],
    ['a StatefulSet alone', { kind: 'StatefulSet' }, []],
  ]
  for (const [what, given, expected] of table) t.strictSame(remarks(manifest(given)), expected, what)
  t.strictSame(remarks(manifest({}).replace('containerPort: 8080', 'containerPort: 8080, hostPort: 80')), [
    'host-port',
  ])
  t.strictSame(remarks(manifest({}).replace(/---[^]*/, '')), ['no-service'])
  t.strictSame(
    remarks(manifest({ objects: second('ports: [{port: 81, targetPort: 9999}]') }), '--port', '8080'),
    ['skipped'],
  )
})

test('what would open or close the wrong port is refused with its remedy', async (t) => {
  t.match(
    refusal(manifest({ spec: 'hostNetwork: true' })),
    'has hostNetwork, so the ports 17020, 17021 and 17080 would be the node',
  )
  for (const port of [17_020, 17_021, 17_080]) {
    const used = manifest({ container: `x: 1\n      - {name: more, ports: [{containerPort: ${port}}]}` })
    t.match(refusal(used, '--container', 'app'), `port ${port} `, String(port))
  }
  const anchored = `${manifest({})}---\nkind: ConfigMap\nmetadata: {name: c, labels: *there}\n`
  t.match(
    refusal(anchored),
    /stdin:\d+:29 is not YAML: \*there has no anchor &there before it in its document; anchors end/,
  )
})

test('every code is one that a test or a manifest brings about', async (t) => {
  const said = names.map((name) => read(name, 'said.txt')).join('\n')
  const here = [
    ...(await import('node:fs')).readFileSync(import.meta.filename, 'utf8').matchAll(/\['([a-z-]+)'\]/g),
  ]
  for (const code of codes)
    t.ok(said.includes(`[${code}]`) || here.some(([, word]) => word === code) || code === 'config', code)
})

test('a protocol that is not HTTP passes as bytes, by its name, its appProtocol, its Ingress or its number', async (t) => {
  const spoken = (text: string): string => /protocol: (http|tcp)\n/.exec(run(text).stdout)![1]!
  const named = (name: string, port = 8080): string =>
    manifest({})
      .replaceAll('http}', `${name}}`)
      .replace('name: http, containerPort: 8080', `name: ${name}, containerPort: ${port}`)
  for (const name of [
    'mqtt',
    'https',
    'grpc',
    'redis',
    'postgres',
    'mysql',
    'h2c',
    'tls-app',
    'app-grpc',
    'tcp',
    'tcp-app',
  ])
    t.equal(spoken(named(name)), 'tcp', name)
  for (const name of ['http', 'web', 'ws', 'http-app', '8080-tcp', 'x', 'mqttish'])
    t.equal(spoken(named(name)), 'http', name)
  t.equal(spoken(named('main', 5432)), 'tcp')
  t.equal(spoken(named('http-main', 8443)), 'http', 'the name goes before the number')
  const typed = (type: string): string => manifest({}).replace('port: 80,', `port: 80, appProtocol: ${type},`)
  for (const type of ['https', 'kubernetes.io/h2c', 'grpc', 'mysql', 'example.com/own', 'kubernetes.io/wss'])
    t.equal(spoken(typed(type)), 'tcp', type)
  for (const type of ['http', 'HTTP', 'kubernetes.io/ws']) t.equal(spoken(typed(type)), 'http', type)
  const ingress = (protocol: string): string =>
    `---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, annotations: {nginx.ingress.kubernetes.io/backend-protocol: ${protocol}}}\nspec: {defaultBackend: {service: {name: web, port: {number: 80}}}}\n`
  t.equal(spoken(manifest({ objects: ingress('GRPC') })), 'tcp')
  t.equal(spoken(manifest({ objects: ingress('HTTP') })), 'http')
  t.match(run(manifest({}), '--port', '8080/tcp').stdout, 'protocol: tcp')
  const calls = run(named('grpc'))
  t.match(
    calls.stderr,
    'protocol: tcp, because the port is named grpc; --protocol h2c judges each call by itself',
  )
  t.notMatch(run(named('mqtt')).stderr, 'h2c')
  for (const options of [
    ['--port', '8080/h2c'],
    ['--protocol', 'h2c'],
  ]) {
    const { stdout } = run(named('grpc'), ...options)
    t.match(
      stdout,
      /protocol: http\n +upstream: \{ addresses: \["127\.0\.0\.1:8080"\], protocol: h2c \}\n( +#.*\n)+ +http: \{ h2c: on, trustForwarded: \[private\] \}\n/,
    )
    t.equal(run(stdout).stdout, stdout, 'a second run changes nothing')
  }
  t.notMatch(run(named('mqtt'), '--protocol', 'http').stdout, 'protocol: tcp')
})

test('all ports of the Services get a listener each, metrics excepted, and named ones as they are named', async (t) => {
  const text = manifest({ container: '' })
    .replace(
      '{name: http, containerPort: 8080}',
      '{name: http, containerPort: 8080}, {name: mqtt, containerPort: 1883}, {name: metrics, containerPort: 9090}',
    )
    .replace(
      '{port: 80, targetPort: http}',
      '{port: 80, targetPort: http}, {port: 1883, targetPort: mqtt}, {port: 9090, targetPort: metrics}',
    )
  const { stdout } = run(text)
  t.match(stdout, 'sidegate.io/ports: "8080:17080/http,1883:17081/tcp"')
  t.match(
    stdout,
    '{port: 80, targetPort: 17080}, {port: 1883, targetPort: 17081}, {port: 9090, targetPort: metrics}',
  )
  t.match(
    run(text, '--port', '1883:18000', '--port', '9090:18001/http').stdout,
    '"1883:18000/tcp,9090:18001/http"',
  )
})

test('a port that the gate takes over moves the application, with the probes that ask for it by number', async (t) => {
  const text = manifest({
    container:
      'env: [{name: PORT, value: "8080"}]\n        readinessProbe: {httpGet: {path: /, port: 8080}}\n        livenessProbe: {tcpSocket: {port: http}}',
  })
  const { stdout, stderr } = run(text, '--take-port', '8080:18080')
  t.match(stdout, '{name: http, containerPort: 18080}')
  t.match(stdout, 'readinessProbe: {httpGet: {path: /, port: 18080}}')
  t.match(stdout, 'livenessProbe: {tcpSocket: {port: http}}')
  t.match(stdout, '{port: 80, targetPort: 8080}')
  t.match(stdout, 'address: ":8080"\n        protocol: http\n        upstream: 127.0.0.1:18080')
  t.match(stderr, 'container app must listen on 18080 from now on, not on 8080: say so in env PORT')
})

test('a port that the gate takes over moves to one that nobody in the pod has', async (t) => {
  const text = manifest({}).replace(
    '[{name: http, containerPort: 8080}]',
    '[{name: http, containerPort: 8080}, {name: other, containerPort: 18080}, {containerPort: 60000}, {containerPort: 8081}]',
  )
  const headless = text.replace(
    'selector: {app: web}, ports: [',
    '$&{name: a, port: 60000}, {name: b, port: 8080}, {name: c, port: 8081}, ',
  )
  const said = run(headless.replace('spec: {selector', 'spec: {clusterIP: None, selector')).stderr
  t.match(said, '--take-port 8080:18081, and the application listen on 18081')
  t.match(said, '--take-port 60000:50000,')
  t.match(said, '--take-port 8081:18082,', 'all of them can be followed at once')
  const table: [string[], string][] = [
    [
      ['--take-port', '8080:18080'],
      'port 18080 is in use in the pod; move the application to another one, such as 8080:18081',
    ],
    [['--take-port', '8080:8080'], 'port 8080 is in use in the pod'],
    [['--take-port', '9999:9999'], 'port 9999 is in use in the pod'],
    [['--take-port', '8080:17021'], "port 17021 is that of the gate's health server"],
    [['--take-port', '8080:18080', '--take-port', '18080:28080'], 'port 18080 is in use in the pod'],
    [
      ['--take-port', '8080:17090', '--port', '18080:17090'],
      "port 17090 is to be the gate's and the application's",
    ],
    [
      ['--port', '8080:17080', '--port', '18080:17080'],
      'cannot listen on port 17080 for both 8080 and 18080',
    ],
    [['--port', '8080:18080'], 'with --port 8080:18081, or take it over with --take-port 18080:28080'],
  ]
  for (const [args, words] of table) t.match(refusal(text, ...args), words, args.join(' '))
})

test('a port over UDP stays with the application when the gate takes over its number', async (t) => {
  const text = manifest({}).replace(
    '[{name: http',
    '[{name: quic, containerPort: 8080, protocol: UDP}, {name: http',
  )
  const { stdout } = run(text, '--take-port', '8080:18080')
  t.match(stdout, '{name: quic, containerPort: 8080, protocol: UDP}, {name: http, containerPort: 18080}')
})

test('endpoints of a headless Service have the port that the gate took over, and a second run knows', async (t) => {
  const text = manifest({}).replace('spec: {selector', 'spec: {clusterIP: None, selector')
  t.match(run(text).stdout, 'port: 80, targetPort: http}', 'no number helps where the application keeps it')
  const { stdout } = run(text, '--take-port', '8080:18080')
  t.match(stdout, 'port: 80, targetPort: 8080}')
  t.strictSame(remarks(stdout), [])
  const again = run(stdout, '--take-port', '8080:18080')
  t.equal(again.stdout, stdout)
  t.match(again.stderr, 'Deployment/web: has the sidecar already')
})

test('a port of the node leads around the gate after the gate took the port over, too', async (t) => {
  const text = manifest({}).replace('containerPort: 8080', 'containerPort: 8080, hostPort: 80')
  const { stderr } = run(text, '--take-port', '8080:18080')
  t.match(stderr, 'hostPort 80 leads to port 18080 of the application around the gate')
  t.match(stderr, 'write it at containerPort 8080 of container sidegate')
  const udp = manifest({}).replace(
    '[{name: http',
    '[{containerPort: 8080, hostPort: 80, protocol: UDP}, {name: http',
  )
  t.strictSame(remarks(udp), [])
})

test('a pod that would run as root runs the gate as the user of the image, any other as the platform says', async (t) => {
  t.notMatch(run(manifest({})).stdout, 'runAsUser')
  t.notMatch(run(manifest({ spec: 'securityContext: {runAsUser: 1000}' })).stdout, 'runAsUser: 65532')
  t.match(run(manifest({ spec: 'securityContext: {runAsUser: 0}' })).stdout, 'runAsUser: 65532')
})

test('the annotations of a mesh are added to, and a pod of none gets none', async (t) => {
  t.notMatch(run(manifest({})).stdout, /istio|linkerd/)
  const of = (annotations: string): string => run(manifest({ pod: `, annotations: {${annotations}}` })).stdout
  t.match(of('sidecar.istio.io/inject: "true"'), 'traffic.sidecar.istio.io/excludeInboundPorts: "17021"')
  t.notMatch(of('sidecar.istio.io/inject: "false"'), 'excludeInboundPorts')
  t.match(of('linkerd.io/inject: enabled'), 'config.linkerd.io/skip-inbound-ports: "17021"')
  t.notMatch(of('linkerd.io/inject: enabled'), 'opaque', 'HTTP is not opaque')
  t.notMatch(of('linkerd.io/inject: enabled, config.linkerd.io/skip-inbound-ports: 17000-18000'), '17021"')
})

test('a gate that came by a patch or a chart is found, and nothing is written beside it', async (t) => {
  const there = manifest({
    spec: 'terminationGracePeriodSeconds: 75\n      volumes: [{name: sidegate-config, configMap: {name: c}}, {name: sidegate-tmp, emptyDir: {sizeLimit: 64Mi}}]\n      initContainers: [{name: sidegate, image: i, ports: [{name: sidegate-in, containerPort: 17080}]}]',
    container: 'lifecycle: {preStop: {httpGet: {path: /drain/wait, port: 17021}}}',
    pod: ', annotations: {kubectl.kubernetes.io/default-container: app}',
  })
    .replace('{app: web}', '{app: web, sidegate.io/sidecar: enabled}')
    .replace('targetPort: http', 'targetPort: 17080')
  const { stdout, stderr } = run(there)
  t.equal(stdout, there)
  t.match(stderr, 'Deployment/web: has the sidecar already')
  t.match(run(there, '--image', 'j').stdout, 'name: sidegate, image: j, ports')
})

test('the docs have a row for each code, and no other', async (t) => {
  const { readFileSync } = await import('node:fs')
  const page = readFileSync(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code)
  t.strictSame(new Set(rows), new Set(codes))
  t.equal(rows.length, codes.length)
})
