import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { checkText } from '../../src/config/load.ts'
import { type KubernetesObject, type Loose, objectsOf, problemsOf } from './kubernetes.ts'
import { charts, helm, options, root } from './tools.ts'

const ci = join(root, 'helm/sidegate/ci')
const valuesFiles = readdirSync(ci)

function render(chart: string, ...args: string[]): KubernetesObject[] {
  const { status, stdout, stderr } = helm('template', 'gate', chart, '--namespace', 'shop', ...args)
  if (status !== 0) throw new Error(stderr)
  return objectsOf(stdout)
}

const refusal = (chart: string, ...args: string[]): string => {
  const { status, stderr } = helm('template', 'gate', chart, ...args)
  return status === 0 ? 'not refused' : stderr
}
const withJson = (value: object): string[] =>
  Object.entries(value).flatMap(([key, one]) => ['--set-json', `${key}=${JSON.stringify(one)}`])
const find = (objects: readonly KubernetesObject[], kind: string): Loose =>
  objects.find((object) => object.kind === kind)
const listener = { address: ':17080', protocol: 'http', upstream: 'legacy:8080' }
const configOf = (keys: object, others: object = {}): string[] =>
  withJson({ config: { listeners: [{ ...listener, ...keys }], ...others } })

test('what helm/generate.ts writes is up to date', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'helm/generate.ts'), '--check'], {
    encoding: 'utf8',
  })
  t.equal(stderr, '')
  t.equal(status, 0)
})

test('the charts have the version of the program', async (t) => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  for (const chart of ['sidegate', 'sidegate-sidecar'])
    t.equal(
      (parse(readFileSync(join(root, 'helm', chart, 'Chart.yaml'), 'utf8')) as { appVersion: string })
        .appVersion,
      version,
      chart,
    )
})

test('helm', options, async (t) => {
  const { gateway, consumer } = charts(t)

  await t.test('lint finds nothing with any values', async (t) => {
    for (const file of valuesFiles) {
      const { status, stdout } = helm('lint', '--strict', gateway, '-f', join(ci, file))
      t.equal(status, 0, `${file}: ${stdout}`)
    }
    t.equal(helm('lint', '--strict', consumer).status, 0)
  })

  await t.test(
    'all that is rendered is strictly valid, and Sidegate accepts every configuration in it',
    async (t) => {
      const renderings = [
        ...valuesFiles.map((file) => render(gateway, '-f', join(ci, file))),
        render(consumer),
        render(consumer, '--set', 'sidegate-sidecar.nativeSidecar=false'),
      ]
      const objects = renderings.flat()
      t.ok(objects.length > 25)
      t.strictSame(await problemsOf(objects), [])
      const texts = objects.flatMap<string>(({ kind, data }) =>
        kind === 'ConfigMap' && typeof data?.['sidegate.yaml'] === 'string' ? [data['sidegate.yaml']] : [],
      )
      t.ok(texts.length >= 5)
      for (const text of texts) checkText(text, 'sidegate.yaml', { LINES: 'legacy:9000' })
    },
  )

  await t.test(
    'what the charts bring believes an ingress, as the commands of their READMEs do',
    async (t) => {
      const [, inReadme = ''] = /--set-json 'config=(.*)'/.exec(
        readFileSync(join(root, 'helm/sidegate/README.md'), 'utf8'),
      )!
      t.match(readFileSync(join(root, 'docs/getting-started.md'), 'utf8'), `--set-json 'config=${inReadme}'`)
      for (const rendered of [
        render(gateway),
        render(gateway, '--set-json', `config=${inReadme}`),
        render(consumer),
      ]) {
        const { config, notes } = checkText(
          find(rendered, 'ConfigMap').data['sidegate.yaml'] as string,
          'sidegate.yaml',
        )
        t.strictSame([config.listeners[0]?.http.trustForwarded, notes], [['private'], []])
      }
    },
  )

  await t.test(
    'off arrives as off, however it is written, and a flag that is false stays false',
    async (t) => {
      const text = find(render(gateway, '-f', join(ci, 'gateway-full.yaml')), 'ConfigMap').data[
        'sidegate.yaml'
      ] as string
      const { config } = checkText(text, 'sidegate.yaml', { LINES: 'legacy:9000' })
      t.match(config.listeners[0], {
        noDelay: false,
        deadlines: { idleMs: Infinity, writeMs: Infinity },
        websocket: { ping: { intervalMs: Infinity }, maxMessageBytes: Infinity },
      })
      t.equal(config.listeners[1]?.limits.connections, 1_000_000)
      t.equal(config.log.requests, true)
    },
  )

  await t.test('each mode renders its kinds, and off renders none', async (t) => {
    const kinds = (file: string): string[] =>
      [...new Set(render(gateway, '-f', join(ci, file)).map(({ kind }) => kind))].sort()
    t.strictSame(kinds('gateway-full.yaml'), [
      'ConfigMap',
      'Deployment',
      'HTTPRoute',
      'HorizontalPodAutoscaler',
      'Ingress',
      'NetworkPolicy',
      'Pod',
      'PodDisruptionBudget',
      'PodMonitor',
      ...rulesKind(),
      'Service',
      'ServiceAccount',
      'ServiceMonitor',
    ])
    t.strictSame(kinds('gateway-bare.yaml'), ['Deployment', 'Pod', 'Service'])
    t.strictSame(kinds('companion.yaml'), ['ConfigMap', 'NetworkPolicy', 'Pod', 'PodMonitor', ...rulesKind()])
    t.strictSame(kinds('companion-minimal.yaml'), ['ConfigMap', 'Pod'])
  })

  await t.test('a PodMonitor gives each workload a job of its own, as the plain one does', async (t) => {
    const plain = parse(readFileSync(join(root, 'deploy/monitoring/podmonitor.yaml'), 'utf8'))
    const [endpoint] = find(render(gateway, '-f', join(ci, 'companion.yaml')), 'PodMonitor').spec
      .podMetricsEndpoints
    t.strictSame(endpoint.relabelings, plain.spec.podMetricsEndpoints[0].relabelings)
    t.ok(endpoint.relabelings.length > 1)
  })

  await t.test(
    'the NetworkPolicy of a companion lets nobody reach the application around the gate',
    async (t) => {
      const { spec } = find(render(gateway, '-f', join(ci, 'companion.yaml')), 'NetworkPolicy')
      t.strictSame(spec, {
        podSelector: { matchLabels: { app: 'chat' } },
        policyTypes: ['Ingress'],
        ingress: [{ ports: [{ protocol: 'TCP', port: 17_080 }] }],
      })
      const [own, upstream] = render(gateway, '-f', join(ci, 'gateway-full.yaml')).filter(
        ({ kind }) => kind === 'NetworkPolicy',
      ) as [Loose, Loose]
      t.strictSame(
        own.spec.ingress.map(({ ports }: Loose) => ports.map(({ port }: Loose) => port)),
        [[17_080, 17_081], [18_021]],
      )
      t.strictSame(upstream.spec.podSelector, { matchLabels: { app: 'legacy' } })
      t.strictSame(upstream.spec.ingress, [
        {
          from: [{ podSelector: own.spec.podSelector }],
          ports: [8080, 9000].map((port) => ({ protocol: 'TCP', port })),
        },
      ])
    },
  )

  await t.test('a change of the configuration rolls the pods only where that is asked for', async (t) => {
    const template = (...args: string[]): Loose => find(render(gateway, ...args), 'Deployment').spec.template
    const other = configOf({ deadlines: { idle: '5m' } })
    t.strictSame(template(...other), template())
    t.notSame(
      template('--set', 'rolloutOnConfigChange=true', ...other),
      template('--set', 'rolloutOnConfigChange=true'),
    )
  })

  await t.test(
    'no probe asks for the upstream, ports are numbers, and the pod security is that of the restricted profile',
    async (t) => {
      for (const spec of [
        find(render(gateway), 'Deployment').spec.template.spec,
        find(render(consumer), 'Deployment').spec.template.spec,
      ]) {
        const [container] = (spec.initContainers ?? spec.containers) as Loose[]
        t.strictSame(
          ['startupProbe', 'readinessProbe', 'livenessProbe'].map((probe) => container[probe].httpGet),
          ['/startupz', '/readyz', '/livez'].map((path) => ({ path, port: 17_021 })),
        )
        t.match(container.securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          runAsNonRoot: true,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
        })
        t.equal(container.resources.limits.cpu, undefined)
      }
      t.strictSame(
        find(render(gateway), 'Service').spec.ports.map(({ targetPort }: Loose) => targetPort),
        [17_080],
      )
    },
  )

  await t.test(
    'who gets SIGTERM at once waits for the drain in its hook, a native sidecar only begins it',
    async (t) => {
      const command = (object: Loose, list: string): string[] =>
        object.spec.template.spec[list]
          .find(({ name }: Loose) => name === 'sidegate')
          .lifecycle.preStop.exec.command.slice(2)
      t.strictSame(command(find(render(gateway), 'Deployment'), 'containers'), ['drain', '--wait'])
      t.strictSame(command(find(render(consumer), 'Deployment'), 'initContainers'), ['drain'])
      t.strictSame(
        command(
          find(render(consumer, '--set', 'sidegate-sidecar.nativeSidecar=false'), 'Deployment'),
          'containers',
        ),
        ['drain', '--wait'],
      )
      const moved = configOf({}, { admin: { address: '127.0.0.1:18020' } })
      t.strictSame(command(find(render(gateway, ...moved), 'Deployment'), 'containers'), [
        'drain',
        '--wait',
        '--admin',
        '127.0.0.1:18020',
      ])
      const guarded = (tokenFile: unknown): string[] => configOf({}, { admin: { tokenFile } })
      t.strictSame(
        command(find(render(gateway, ...guarded('/run/secrets/token')), 'Deployment'), 'containers'),
        ['drain', '--wait', '--token-file', '/run/secrets/token'],
      )
      for (const off of ['off', false])
        t.strictSame(command(find(render(gateway, ...guarded(off)), 'Deployment'), 'containers'), [
          'drain',
          '--wait',
        ])
    },
  )

  await t.test('a typo in the configuration dies in helm, with its name', async (t) => {
    t.match(
      refusal(gateway, ...configOf({ deadlines: { idel: '5s' } })),
      /config\/listeners\/0\/deadlines.*idel/,
    )
    t.match(refusal(gateway, ...configOf({}, { healht: {} })), /config.*healht/)
    t.match(
      refusal(gateway, ...configOf({ deadlines: { idle: 5 } })),
      /config\/listeners\/0\/deadlines\/idle/,
    )
    t.match(refusal(gateway, ...configOf({ noDelay: 'no' })), /noDelay/)
    t.match(refusal(gateway, '--set', 'imgae.tag=1'), /imgae/)
    t.match(refusal(gateway, '--set', 'mode=sidecar'), /mode/)
    t.match(
      refusal(
        consumer,
        ...withJson({ 'sidegate-sidecar.config': { listeners: [{ ...listener, upstreem: 'a:1' }] } }),
      ),
      /config\/listeners\/0.*upstreem/,
    )
  })

  await t.test(
    'a grace that is shorter than the drain is refused, with the remedy; one that is just long enough is not',
    async (t) => {
      const remedy =
        /terminationGracePeriodSeconds is 69 and config\.drain\.timeout is 60s: .*\n.*Set terminationGracePeriodSeconds to 70 or more, or shorten config\.drain\.timeout/
      t.match(refusal(gateway, '--set', 'terminationGracePeriodSeconds=69'), remedy)
      t.match(refusal(consumer, '--set', 'sidegate-sidecar.terminationGracePeriodSeconds=69'), remedy)
      t.equal(refusal(gateway, '--set', 'terminationGracePeriodSeconds=70'), 'not refused')
      // Past the schema, whatever of \`drain\` it knows.
      const withTimeout = (timeout: string, grace: number): string =>
        refusal(
          gateway,
          '--skip-schema-validation',
          '--set',
          `terminationGracePeriodSeconds=${grace}`,
          ...configOf({}, { drain: { timeout } }),
        )
      for (const [timeout, grace] of [
        ['2m', 130],
        ['1.5m', 100],
        ['500ms', 11],
        ['1h', 3610],
      ] as const) {
        t.match(withTimeout(timeout, grace - 1), `Set terminationGracePeriodSeconds to ${grace} or more`)
        t.equal(withTimeout(timeout, grace), 'not refused', timeout)
      }
    },
  )

  await t.test('what else cannot work is refused with the remedy', async (t) => {
    t.match(
      refusal(
        gateway,
        ...withJson({ extraVolumeMounts: [{ name: 'tls', mountPath: '/tls/tls.crt', subPath: 'tls.crt' }] }),
      ),
      /\/tls\/tls\.crt is mounted by subPath.*\n.*Mount the folder instead/,
    )
    t.match(
      refusal(consumer, '--kube-version', '1.28.9'),
      /Kubernetes v1\.28\.9 has no native sidecars.*\n.*Set nativeSidecar to false/,
    )
    t.equal(refusal(consumer, '--kube-version', '1.29.0'), 'not refused')
    t.equal(
      refusal(consumer, '--kube-version', '1.28.9', '--set', 'sidegate-sidecar.nativeSidecar=false'),
      'not refused',
    )
    t.match(
      refusal(gateway, ...withJson({ 'service.ports': [{ name: 'web', port: 80, targetPort: 8080 }] })),
      /web leads to targetPort 8080, and no listener is there \(they listen on 17080\)/,
    )
    for (const address of ['127.0.0.1:17021', '[::1]:17021', 'unix:/tmp/health.sock']) {
      t.match(
        refusal(gateway, ...configOf({}, { health: { address } })),
        /config\.health\.address is \S+, but the kubelet asks at the address of the pod.*\n.*Set config\.health\.address to ":17021"/,
        address,
      )
    }
    t.equal(refusal(gateway, ...configOf({}, { health: { address: '0.0.0.0:17021' } })), 'not refused')
    t.match(
      refusal(
        consumer,
        ...withJson({ 'sidegate-sidecar.config': { listeners: [{ ...listener, address: ':${PORT}' }] } }),
      ),
      /the port of :\$\{PORT\} is not known.*\n.*Write the number/,
    )
    t.equal(refusal(gateway, ...configOf({ address: '[::]:17080' })), 'not refused')
  })

  await t.test('the notes name the next commands, for the objects that there are', async (t) => {
    const notes = (...args: string[]): string =>
      helm('install', 'gate', gateway, '--dry-run=client', '--namespace', 'shop', ...args).stdout.split(
        'NOTES:',
      )[1] ?? ''
    t.match(
      notes(),
      /Sidegate stands in front of legacy:8080\.[^]*helm test gate -n shop\n[^]*deploy\/gate-sidegate 17020[^]*/,
    )
    t.match(
      notes('-f', join(ci, 'companion.yaml')),
      'sidegate inject --config-map sidegate-config | kubectl apply -f -',
    )
  })

  await t.test(
    'helm test checks the configuration, and in gateway mode the way to the Service',
    async (t) => {
      const pod = (file: string): Loose => find(render(gateway, '-f', join(ci, file)), 'Pod')
      t.equal(pod('companion.yaml').metadata.annotations['helm.sh/hook'], 'test')
      t.strictSame(pod('companion.yaml').spec.containers[0].args, ['check', '/etc/sidegate/sidegate.yaml'])
      t.strictSame(pod('gateway-full.yaml').spec.containers[0].command.slice(3), ['front', '80', '9000'])
    },
  )
})

test('rules and dashboards that are there are rendered as they are', options, async (t) => {
  const rules = {
    groups: [
      {
        name: 'g',
        rules: [{ alert: 'A', expr: 'up == 0', annotations: { summary: '{{ $labels.pod }} is down' } }],
      },
    ],
  }
  const { gateway } = charts(t, (directory) => {
    mkdirSync(join(directory, 'sidegate/files/dashboards'), { recursive: true })
    writeFileSync(join(directory, 'sidegate/files/rules.yaml'), JSON.stringify(rules))
    writeFileSync(join(directory, 'sidegate/files/dashboards/mine.json'), '{"title": "{{ listener }}"}\n')
  })
  const objects = render(
    gateway,
    '-f',
    join(ci, 'companion.yaml'),
    '--set',
    'dashboards.folder=Ours',
    '--set',
    'metrics.prometheusRule.labels.release=p',
  )
  t.strictSame(await problemsOf(objects), [])
  t.match(find(objects, 'PrometheusRule'), { spec: rules, metadata: { labels: { release: 'p' } } })
  const dashboard = objects.find(({ metadata }) => metadata.name === 'gate-sidegate-mine')
  t.match(dashboard, {
    metadata: { labels: { grafana_dashboard: '1' }, annotations: { grafana_folder: 'Ours' } },
    data: { 'mine.json': '{"title": "{{ listener }}"}\n' },
  })
})

/** Rendered where the repository has rules. */
function rulesKind(): string[] {
  return readdirSync(join(root, 'helm/sidegate'), { recursive: true, encoding: 'utf8' }).includes(
    'files/rules.yaml',
  )
    ? ['PrometheusRule']
    : []
}
