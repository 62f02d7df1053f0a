import { IMAGE } from '../../src/core/image.ts'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { appPreStop, sidecarContainer, sidecarVolumes } from '../../src/inject/sidecar.ts'
import { CLI } from '../support/command.ts'
import { type Loose, objectsOf } from './kubernetes.ts'
import { charts, helm, kustomize, options, patched, root } from './tools.ts'

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }

/** Sidegate's additions, from whatever source. */
const block = {
  annotations: { 'kubectl.kubernetes.io/default-container': 'app' },
  label: 'enabled',
  grace: 75,
  sidecar: sidecarContainer({ image: `${IMAGE}:${version}`, ports: [17_080] }),
  held: { preStop: appPreStop },
  volumes: sidecarVolumes('sidegate-config'),
}

function blockOf({ metadata, spec }: Loose): object {
  return {
    annotations: metadata.annotations,
    label: metadata.labels['sidegate.io/sidecar'],
    grace: spec.terminationGracePeriodSeconds,
    sidecar: spec.initContainers[0],
    held: spec.containers[0].lifecycle,
    volumes: spec.volumes,
  }
}

const podOf = (yaml: string): Loose =>
  (
    objectsOf(yaml).find(
      ({ kind, spec }) => kind === 'Deployment' && spec.template.spec.initContainers !== undefined,
    ) as Loose
  )?.spec.template

test('what deploy/generate.ts writes is up to date', async (t) => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, 'deploy/generate.ts'), '--check'], {
    encoding: 'utf8',
  })
  t.equal(stderr, '')
  t.equal(status, 0)
})

test('inject adds the block', async (t) => {
  const { stdout } = spawnSync(
    process.execPath,
    [
      CLI,
      'inject',
      '-f',
      join(root, 'deploy/manifests/legacy/deployment.yaml'),
      '--config-map',
      'sidegate-config',
    ],
    { encoding: 'utf8' },
  )
  t.strictSame(blockOf(podOf(stdout)), block)
})

test(
  'so do the library chart, the component, the patches and the manifests as they are rendered',
  options,
  async (t) => {
    const { consumer } = charts(t)
    t.strictSame(blockOf(podOf(helm('template', 'x', consumer).stdout)), block)
    t.strictSame(blockOf(podOf(kustomize(join(root, 'deploy/manifests')).stdout)), block)
    // Component and patches cannot know the name of the application's container.
    const unnamed = { ...block, annotations: undefined }
    t.strictSame(blockOf(podOf(kustomize(join(root, 'deploy/kustomize/example/overlay')).stdout)), unnamed)
    const legacy = join(root, 'deploy/manifests/legacy/deployment.yaml')
    t.strictSame(blockOf(podOf(patched(t, readFileSync(legacy, 'utf8')).text)), unnamed)
  },
)

test('the README of the library chart tells what the consumer of these tests does', async (t) => {
  const read = (name: string): string => readFileSync(join(root, name), 'utf8')
  const blocks = [
    ...read('helm/sidegate-sidecar/README.md').matchAll(/```yaml\n# templates\/[^\n]*\n([^]*?)```/g),
  ]
  t.equal(blocks.length, 2)
  for (const [, text = ''] of blocks) {
    const file = text.includes('configmap') ? 'sidegate.yaml' : 'deployment.yaml'
    const lines = read(`test/deploy/consumer/templates/${file}`)
      .split('\n')
      .map((line) => line.trim())
    for (const line of text.split('\n')) t.ok(lines.includes(line.trim()), line)
  }
})
