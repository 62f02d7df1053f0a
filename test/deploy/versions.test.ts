import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { names, read } from '../inject/snapshots.ts'
import { type KubernetesObject, type Loose, objectsOf } from './kubernetes.ts'
import { charts, helm, kustomize, options, patched, root } from './tools.ts'
import { complaintsOf, podsIn, unrestricted, versions } from './versions.ts'

/** Everything that is shipped or written, by where it comes from. */
function shipped(t: Test): [string, KubernetesObject[]][] {
  const { gateway, consumer } = charts(t)
  const full = helm('template', 'x', gateway, '-f', join(root, 'helm/sidegate/ci/gateway-full.yaml'))
  const companion = helm('template', 'x', gateway, '-f', join(root, 'helm/sidegate/ci/companion.yaml'))
  const legacy = readFileSync(join(root, 'deploy/manifests/legacy/deployment.yaml'), 'utf8')
  return [
    ['manifests', objectsOf(kustomize(join(root, 'deploy/manifests')).stdout)],
    ['component', objectsOf(kustomize(join(root, 'deploy/kustomize/example/overlay')).stdout)],
    ['patches', objectsOf(patched(t, legacy).text)],
    ['gateway', objectsOf(helm('template', 'x', gateway).stdout)],
    ['gateway with everything', objectsOf(full.stdout)],
    ['companion', objectsOf(companion.stdout)],
    ['library chart', objectsOf(helm('template', 'x', consumer).stdout)],
  ]
}

/** As \`inject\` leaves them; a List as what is in it. */
function injected(name: string): KubernetesObject[] {
  return parseAllDocuments(read(name, 'out.yaml'), { merge: true })
    .map((document): Loose => document.toJS())
    .filter((object) => object !== null)
    .flatMap((object) => (object.kind === 'List' ? object.items : [object])) as KubernetesObject[]
}

function withoutNulls(object: KubernetesObject): KubernetesObject {
  const text = JSON.stringify(object, (_, value: unknown) => (value === null ? undefined : value))
  return JSON.parse(text) as KubernetesObject
}

test(
  'three released versions of Kubernetes know every field of all that is shipped and written',
  options,
  async (t) => {
    t.strictSame(versions, ['1.33', '1.34', '1.36'])
    const all = [...shipped(t), ...names.map((name): [string, KubernetesObject[]] => [name, injected(name)])]
    for (const version of versions) {
      for (const [where, objects] of all) {
        t.ok(objects.length > 0, where)
        // What a cluster prints of an object says more than an object may: null where a time would be.
        const complaints = objects.map((object) => complaintsOf(version, withoutNulls(object)))
        t.strictSame(
          complaints.flatMap((one) => one ?? []),
          [],
          `${where}, ${version}`,
        )
        t.ok(
          complaints.some((one) => one !== null),
          `${where}, ${version}: something was judged`,
        )
      }
    }
  },
)

test(
  'Pod Security admits every pod that is shipped as restricted, and the gate in every pod of others',
  options,
  async (t) => {
    for (const [where, objects] of shipped(t)) {
      const isOurs = ['manifests', 'gateway', 'gateway with everything', 'companion', 'patches'].includes(
        where,
      )
      for (const pod of objects.flatMap(podsIn))
        t.strictSame(unrestricted(pod, isOurs ? undefined : (name) => name === 'sidegate'), [], where)
    }
    for (const name of names)
      for (const pod of injected(name).flatMap(podsIn))
        t.strictSame(
          unrestricted(pod, (one) => one === 'sidegate'),
          [],
          name,
        )
    const [portal] = injected('openshift').flatMap(podsIn)
    t.strictSame(unrestricted(portal), [], 'and a pod that was admitted before')
  },
)

test('what is wrong is found', async (t) => {
  const pod = (container: object, spec: object = {}): KubernetesObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'a', ...container }], ...spec },
  })
  const wrong: [object, RegExp][] = [
    [{ lifecyle: {} }, /containers\[0\]\.lifecyle is not known/],
    [{ ports: [{ containerPort: '80' }] }, /containerPort is no number/],
    [{ ports: {} }, /ports is no list/],
    [{ resources: { limits: { cpu: 1 } } }, /limits\.cpu is no string/],
    [{ lifecycle: { preStop: { exec: { command: ['a'] }, httpGet: { port: 1 } } } }, /not one handler/],
    [{ ports: [{ name: 'sixteen-letters-', containerPort: 1 }] }, /a port named/],
  ]
  for (const version of versions)
    for (const [container, expected] of wrong)
      t.match(complaintsOf(version, pod(container))?.join(), expected, version)
  t.equal(complaintsOf('1.36', { ...pod({}), apiVersion: 'route.openshift.io/v1', kind: 'Route' }), null)
  const good = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' },
  }
  const of = (own: object, spec: object = {}): string[] =>
    unrestricted(pod({ securityContext: own }, spec)['spec'])
  t.strictSame(of(good), [])
  t.strictSame(of({}), [
    'a: allowPrivilegeEscalation',
    'a: runAsNonRoot',
    'a: capabilities.drop',
    'a: seccompProfile',
  ])
  t.strictSame(of({ ...good, runAsUser: 0, privileged: true }), ['a: privileged', 'a: runAsUser'])
  t.strictSame(of({ ...good, capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }), ['a: capabilities.add'])
  t.strictSame(of(good, { hostNetwork: true, volumes: [{ name: 'v', hostPath: {} }] }), [
    'namespaces of the host',
    'volume v',
  ])
})
