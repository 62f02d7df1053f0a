import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { parse } from 'yaml'
import { checkText } from '../../src/config/load.ts'
import { freePort, needs, runTool, temporary, whenListening } from '../support/tools.ts'
import { runFile } from '../system/program.ts'
import { type KubernetesObject, type Loose, objectsOf, problemsOf } from './kubernetes.ts'
import { kustomize, options, root } from './tools.ts'

const deploy = join(root, 'deploy')
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')

function build(directory: string): KubernetesObject[] {
  const { status, stdout, stderr } = kustomize(join(deploy, directory))
  if (status !== 0) throw new Error(stderr)
  return objectsOf(stdout)
}

test('kustomize renders the manifests and the example, strictly valid, with a configuration that Sidegate accepts', options, async (t) => {
  for (const directory of ['manifests', 'kustomize/example/base', 'kustomize/example/overlay']) {
    const objects = build(directory)
    t.strictSame(await problemsOf(objects), [], directory)
    const texts = objects.flatMap(({ kind, data }) => (kind === 'ConfigMap' ? [data['sidegate.yaml'] as string] : []))
    t.equal(texts.length, directory.endsWith('base') ? 0 : 1)
    for (const text of texts) t.strictSame(checkText(text, 'sidegate.yaml').warnings, [])
  }
})

test('every file that is no kustomization is in one, or is a patch, a legacy original, or part of compose', async (t) => {
  const files = globSync('**/*.yaml', { cwd: deploy }).filter((path) => !/^(compose|patch|manifests\/legacy|monitoring)\//.test(path) && !path.endsWith('kustomization.yaml'))
  const named = globSync('**/kustomization.yaml', { cwd: deploy }).flatMap((path) => {
    const { resources = [], patches = [], configMapGenerator = [] } = parse(read(path)) as { resources?: string[]; patches?: { path: string }[]; configMapGenerator?: { files: string[] }[] }
    return [...resources, ...patches.map((patch) => patch.path), ...configMapGenerator.flatMap(({ files }) => files)].map((name) => join(dirname(path), name))
  })
  t.ok(files.length >= 9)
  for (const file of files) t.ok(named.includes(file), file)
})

test('the component takes what is labelled and leaves the rest', options, async (t) => {
  const [base, overlay] = [build('kustomize/example/base'), build('kustomize/example/overlay')]
  const find = (objects: KubernetesObject[], title: string): Loose => objects.find(({ kind, metadata }) => `${kind}/${metadata.name}` === title)
  t.strictSame(find(overlay, 'Deployment/worker'), find(base, 'Deployment/worker'))
  t.strictSame(find(overlay, 'Service/chat').spec.ports, [{ port: 80, targetPort: 17_080 }])
  t.equal(find(overlay, 'Deployment/chat').spec.template.spec.containers[0].image, 'example.com/chat:1.0.0')
  t.ok(find(overlay, 'ConfigMap/sidegate-config'), 'without a hash in its name')
})

test('the manifests close the way around the gate, and the Service leads to a port that the configuration listens on', options, async (t) => {
  const objects = build('manifests')
  const of = (kind: string): Loose => objects.find((object) => object.kind === kind)
  const { config } = checkText(of('ConfigMap').data['sidegate.yaml'], 'sidegate.yaml')
  const [{ address, upstream }] = config.listeners as [Loose]
  t.equal(of('Service').spec.ports[0].targetPort, address.port)
  t.equal(of('Deployment').spec.template.spec.containers[0].ports[0].containerPort, upstream.address.port)
  const reachable = of('NetworkPolicy').spec.ingress.flatMap(({ ports }: Loose) => ports.map(({ port }: Loose) => port))
  t.strictSame(reachable, [17_080, 17_021])
  for (const kind of ['Service', 'NetworkPolicy', 'PodDisruptionBudget']) {
    const { selector, podSelector } = of(kind).spec
    for (const [label, value] of Object.entries(podSelector?.matchLabels ?? selector.matchLabels ?? selector)) t.equal(of('Deployment').spec.template.metadata.labels[label], value, kind)
  }
})

test('the legacy service of the manifests and of compose runs, behind a gate with the configuration of the manifests', async (t) => {
  const yaml = objectsOf(read('manifests/legacy/deployment.yaml'))[0] as Loose
  const inManifest = (yaml.spec.template.spec.containers[0].command as string[]).at(-1)!.replace('/app/package.json', join(root, 'package.json'))
  const texts: Loose = parse(read('manifests/configmap.yaml'))
  const starts: [string, string[]][] = [
    ['manifests', ['--input-type=module', '--eval', inManifest]],
    ['compose', [join(deploy, 'compose/legacy.mjs')]],
  ]
  for (const [name, args] of starts) {
    const [legacy, port, health, admin] = [freePort(), freePort(), freePort(), freePort()]
    runTool(t, process.execPath, args, { PORT: String(legacy), APP: join(root, 'package.json') })
    await whenListening(legacy)
    const file = join(temporary(t), 'sidegate.yaml')
    const listeners = (texts.data['sidegate.yaml'] as string).replace(':17080', `127.0.0.1:${port}`).replace('127.0.0.1:8080', `127.0.0.1:${legacy}`)
    writeFileSync(file, `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\n${listeners}`)
    await runFile(t, file, { ports: [health, admin, port] })
    t.equal(await (await fetch(`http://127.0.0.1:${port}/a`)).text(), 'legacy: GET /a\n', name)
    const client = new WebSocket(`ws://127.0.0.1:${port}/`)
    await once(client, 'open')
    client.send('hello')
    const [data, isBinary] = (await once(client, 'message')) as [Buffer, boolean]
    t.strictSame([data.toString(), isBinary], ['hello', false], name)
    client.close()
    await once(client, 'close')
  }
})

test('compose mounts what there is, checks health by a command of the program, and has no way around the gate', async (t) => {
  const { services } = parse(read('compose/docker-compose.yaml')) as { services: Record<string, Loose> }
  // Made by their own generators; an empty folder serves as well.
  const later = /^\.\.\/(monitoring|grafana):/
  for (const [name, { volumes = [] }] of Object.entries(services)) {
    for (const volume of volumes as string[]) t.ok(later.test(volume) || existsSync(join(deploy, 'compose', volume.split(':')[0]!)), `${name}: ${volume}`)
  }
  t.equal(services['legacy']!.ports, undefined)
  t.strictSame(services['sidegate']!.ports, ['17080:17080'])
  const { config, warnings } = checkText(read('compose/config/sidegate.yaml'), 'sidegate.yaml')
  t.match(config.listeners[0], { upstream: { address: { host: 'legacy', port: 8080 } } })
  t.strictSame(warnings, [])
  const { providers: [provider] } = parse(read('compose/provisioning/dashboards/sidegate.yaml')) as { providers: Loose[] }
  t.ok((services['grafana']!.volumes as string[]).some((volume) => volume.split(':')[1] === provider.options.path))
  t.match(parse(read('compose/provisioning/datasources/prometheus.yaml')), { datasources: [{ url: 'http://prometheus:9090' }] })
})

test('promtool accepts the configuration of Prometheus', needs('promtool'), async (t) => {
  // Without the rules, which stand elsewhere in the container.
  const file = join(temporary(t), 'prometheus.yaml')
  writeFileSync(file, read('compose/prometheus.yaml').replace(/rule_files:\n.*\n/, ''))
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'config', file], { encoding: 'utf8' })
  t.equal(status, 0, stdout + stderr)
})
