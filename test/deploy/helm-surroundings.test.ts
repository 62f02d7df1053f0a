import { join } from 'node:path'
import { test } from 'tap'
import { type KubernetesObject, type Loose, objectsOf } from './kubernetes.ts'
import { charts, helm, options, root } from './tools.ts'

const ci = join(root, 'helm/sidegate/ci')

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

test('what surrounds the gate in its chart', options, async (t) => {
  const { gateway, consumer } = charts(t)

  await t.test('what belongs to another release, to nobody, or to no port is refused', async (t) => {
    const on = (section: string, more: object = {}): string[] =>
      withJson({ [section]: { enabled: true, ...more } })
    t.match(
      refusal(gateway, '--set', 'mode=companion'),
      /podSelector is empty: .*other releases.*\n.*Name the pods/,
    )
    const mine = withJson({ 'networkPolicy.podSelector': { matchLabels: { app: 'a' } } })
    t.equal(refusal(gateway, '--set', 'mode=companion', ...mine), 'not refused')
    t.match(refusal(gateway, ...on('ingress')), /ingress\.hosts is empty/)
    t.match(
      refusal(gateway, ...on('ingress', { hosts: [{ host: 'a', paths: [{ path: '/', port: 'x' }] }] })),
      /port x is none of service\.ports \(they are http\)/,
    )
    t.match(refusal(gateway, ...on('httpRoute')), /httpRoute\.parentRefs is empty/)
    t.match(
      refusal(gateway, ...on('httpRoute', { parentRefs: [{ name: 'g' }], port: 'x' })),
      /port x is none of/,
    )
    t.match(
      refusal(gateway, ...on('autoscaling', { targetCPUUtilizationPercentage: 0 })),
      /nothing to scale by/,
    )
    const byExpression = { podSelector: { matchExpressions: [{ key: 'a', operator: 'Exists' }] } }
    t.match(
      refusal(
        gateway,
        '--set',
        'mode=companion',
        ...withJson({ networkPolicy: byExpression }),
        '--set',
        'metrics.serviceMonitor.enabled=true',
      ),
      /selects by labels alone/,
    )
    t.match(refusal(gateway, '--kube-version', '1.22.0'), /requires kubeVersion: >=1\.23/)
  })

  await t.test(
    'nobody is given a user or a group but by values, which are added to what is there',
    async (t) => {
      for (const chart of [gateway, consumer])
        t.notMatch(helm('template', 'x', chart).stdout, /runAsUser|runAsGroup|fsGroup/)
      const { spec } = find(render(gateway, '-f', join(ci, 'gateway-full.yaml')), 'Deployment').spec.template
      t.strictSame(spec.securityContext, {
        fsGroup: 65_532,
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      t.match(spec.containers[0].securityContext, { runAsUser: 65_532, capabilities: { drop: ['ALL'] } })
      t.match(
        find(render(consumer, '--set', 'sidegate-sidecar.securityContext.runAsUser=7'), 'Deployment').spec
          .template.spec.initContainers[0],
        {
          securityContext: { runAsUser: 7, runAsNonRoot: true },
        },
      )
    },
  )

  await t.test('an account, routes, a monitor by a Service, and an autoscaler by connections', async (t) => {
    const objects = render(gateway, '-f', join(ci, 'gateway-full.yaml'))
    t.match(find(objects, 'ServiceAccount'), {
      metadata: { name: 'front' },
      automountServiceAccountToken: false,
    })
    t.equal(find(objects, 'Deployment').spec.template.spec.serviceAccountName, 'front')
    t.strictSame(
      find(objects, 'Ingress').spec.rules.map(({ host, http }: Loose) => [
        host,
        ...http.paths.map(({ path, pathType, backend }: Loose) => [
          path,
          pathType,
          backend.service.name,
          backend.service.port.name,
        ]),
      ]),
      [
        ['app.example.com', ['/', 'Prefix', 'front', 'web']],
        ['gate.example.com', ['/lines', 'Exact', 'front', 'lines']],
      ],
    )
    t.match(find(objects, 'HTTPRoute').spec, {
      parentRefs: [{ name: 'public' }],
      rules: [{ backendRefs: [{ name: 'front', port: 80 }] }],
    })
    const [forClients, forMetrics] = objects.filter(({ kind }) => kind === 'Service') as [Loose, Loose]
    const { spec } = find(objects, 'ServiceMonitor')
    const isFound = ({ metadata }: Loose): boolean =>
      Object.entries(spec.selector.matchLabels).every(([name, value]) => metadata.labels[name] === value)
    t.strictSame([isFound(forClients), isFound(forMetrics)], [false, true])
    t.match(forMetrics.spec, {
      clusterIP: 'None',
      ports: [{ name: 'metrics', port: 18_021 }],
      selector: find(objects, 'Deployment').spec.selector.matchLabels,
    })
    t.strictSame(
      spec.endpoints[0].relabelings,
      find(objects, 'PodMonitor').spec.podMetricsEndpoints[0].relabelings,
    )
    t.strictSame(find(objects, 'HorizontalPodAutoscaler').spec.metrics, [
      {
        type: 'Pods',
        pods: {
          metric: { name: 'sidegate_connections' },
          target: { type: 'AverageValue', averageValue: '2000' },
        },
      },
      {
        type: 'Resource',
        resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } },
      },
    ])
  })
})
