// Writes the files that follow from the sidecar block (src/inject/sidecar.ts): the patches and the manifest
// shipped here. `--check` writes nothing and exits 1 where a file is out of date. Run as `node
// deploy/generate.ts`.

import { IMAGE } from '../src/core/image.ts'
import { readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { writeOrCheck } from '../docs/generated.ts'
import { inject } from '../src/inject/inject.ts'
import {
  appPreStop,
  CONFIG_VOLUME,
  DEFAULT_PORT,
  GRACE_SECONDS,
  podLabels,
  sidecarContainer,
  sidecarVolumes,
} from '../src/inject/sidecar.ts'

const { version } = JSON.parse(read('../package.json')) as { version: string }
const image = `${IMAGE}:${version}`
const notice =
  '# Written by deploy/generate.ts from src/inject/sidecar.ts; change the source, not this file.\n'

/** Every file, by its name beside this one. */
function files(): Record<string, string> {
  return {
    'manifests/deployment.yaml': notice + injected(),
    'patch/sidecar.patch.yaml': `${notice}#
#   kubectl rollout pause deployment NAME
#   kubectl patch deployment NAME --patch-file deploy/patch/sidecar.patch.yaml
#   kubectl patch deployment NAME --type json --patch-file deploy/patch/hold.patch.yaml
#   kubectl rollout resume deployment NAME
#
# It expects a ConfigMap named sidegate-config with the key sidegate.yaml in the namespace. Then send clients to the gate:
#
#   kubectl patch service NAME --type json -p '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": ${DEFAULT_PORT}}]'
${yaml(patch())}`,
    'patch/hold.patch.yaml': `${notice}# Holds the first container until the drain is over. Refused as a whole where that one has hooks of its own, or the pod a grace:
# what they are worth only their owner knows. See docs/kubernetes.md#a-hook-of-its-own, then patch what is missing.
${yaml([...grace, ...hold])}`,
    'kustomize/component/sidecar.yaml':
      notice + yaml({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'any' }, ...patch() }),
    'kustomize/component/hold-application.yaml': `${notice}# The first container is the application. One that has hooks is refused here: see sidegate.io/hook in kustomization.yaml.
${yaml(hold)}`,
    'kustomize/component/hold-after-post-start.yaml': `${notice}# For sidegate.io/hook: post-start. The application's postStart stays; a preStop beside it is refused.
${yaml([isAbsent(`${app}/lifecycle/preStop`), { op: 'add', path: `${app}/lifecycle/preStop`, value: appPreStop }])}`,
    'kustomize/component/grace.yaml': `${notice}# A grace that the application has is refused here: see sidegate.io/grace in kustomization.yaml.
${yaml(grace)}`,
    'kustomize/component/service.yaml': `${notice}# A port without a name is the only one of its Service. Of several one has to be chosen: see sidegate.io/port in kustomization.yaml.
${yaml([isAbsent('/spec/ports/0/name'), ...toGate(0)])}`,
    ...Object.fromEntries(
      ['first', 'second', 'third'].map((word, index) => [
        `kustomize/component/service-${word}.yaml`,
        `${notice}# For sidegate.io/port: ${word}.\n${yaml(toGate(index))}`,
      ]),
    ),
  }
}

const spec = '/spec/template/spec'
const app = `${spec}/containers/0`
/** A JSON patch is refused as a whole if its test fails; an absent value is null to it. */
const isAbsent = (path: string): object => ({ op: 'test', path, value: null })
const hold = [
  isAbsent(`${app}/lifecycle`),
  { op: 'add', path: `${app}/lifecycle`, value: { preStop: appPreStop } },
]
const grace = [
  isAbsent(`${spec}/terminationGracePeriodSeconds`),
  { op: 'add', path: `${spec}/terminationGracePeriodSeconds`, value: GRACE_SECONDS },
]
const toGate = (index: number): object[] => [
  { op: 'add', path: `/spec/ports/${index}/targetPort`, value: DEFAULT_PORT },
]

/** The original legacy application, with the additions of `sidegate inject`. */
function injected(): string {
  const options = {
    image,
    defaultImage: image,
    configMap: CONFIG_VOLUME,
    ports: [],
    taken: [],
    container: null,
    only: null,
    protocol: null,
    upstream: 'loopback',
    cpu: null,
    memory: null,
    accept: [],
    fileName: 'legacy.yaml',
  } as const
  return inject(read('manifests/legacy/deployment.yaml'), options).text
}

/**
 * A strategic merge patch: lists merge by name. Values that may exist already are left to a JSON patch, which
 * can test first.
 */
function patch(): object {
  return {
    spec: {
      template: {
        metadata: { labels: podLabels },
        spec: {
          initContainers: [sidecarContainer({ image, ports: [DEFAULT_PORT] })],
          volumes: sidecarVolumes(CONFIG_VOLUME),
        },
      },
    },
  }
}

function yaml(value: object): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
}

function read(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8')
}

process.exitCode = writeOrCheck({
  folder: import.meta.dirname,
  files: files(),
  generator: 'deploy/generate.ts',
})
