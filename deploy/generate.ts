// Writes what follows from the sidecar block (src/inject/sidecar.ts): the patches and the manifest that are shipped here.
// `--check` writes nothing and exits 1 where a file is out of date. Run as `node deploy/generate.ts`.

import { readFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { writeOrCheck } from '../docs/generated.ts'
import { inject } from '../src/inject/inject.ts'
import { appPreStop, CONFIG_VOLUME, DEFAULT_PORT, GRACE_SECONDS, podLabels, sidecarContainer, sidecarVolumes } from '../src/inject/sidecar.ts'

const { version } = JSON.parse(read('../package.json')) as { version: string }
const image = `ghcr.io/sidegate/sidegate:${version}`
const notice = '# Written by deploy/generate.ts from src/inject/sidecar.ts; change the source, not this file.\n'

/** Every file, by its name beside this one. */
function files(): Record<string, string> {
  return {
    'manifests/deployment.yaml': notice + injected(),
    'patch/sidecar.patch.yaml': `${notice}#
#   kubectl patch deployment NAME --patch-file deploy/patch/sidecar.patch.yaml
#
# It expects a ConfigMap named sidegate-config with the key sidegate.yaml in the namespace, and the application in a
# container named app. Then send clients to the gate:
#
#   kubectl patch service NAME --type json -p '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": ${DEFAULT_PORT}}]'
${yaml(patch('app'))}`,
    'kustomize/component/sidecar.yaml': notice + yaml({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'any' }, ...patch(null) }),
    'kustomize/component/hold-application.yaml': `${notice}# The first container is the application. A hook that it has is replaced.
${yaml([{ op: 'add', path: '/spec/template/spec/containers/0/lifecycle', value: { preStop: appPreStop } }])}`,
    'kustomize/component/service.yaml': notice + yaml([{ op: 'add', path: '/spec/ports/0/targetPort', value: DEFAULT_PORT }]),
  }
}

/** The legacy application as it was, with what `sidegate inject` adds. */
function injected(): string {
  const options = { image, configMap: CONFIG_VOLUME, port: DEFAULT_PORT, appPort: null, container: null, only: null, protocol: 'http', fileName: 'legacy.yaml' } as const
  return inject(read('manifests/legacy/deployment.yaml'), options).text
}

/** A strategic merge patch: lists merge by name, so the application can only be held where its name is known. */
function patch(app: string | null): object {
  return {
    spec: {
      template: {
        metadata: { labels: podLabels, ...(app === null ? {} : { annotations: { 'kubectl.kubernetes.io/default-container': app } }) },
        spec: {
          terminationGracePeriodSeconds: GRACE_SECONDS,
          initContainers: [sidecarContainer({ image, port: DEFAULT_PORT })],
          ...(app === null ? {} : { containers: [{ name: app, lifecycle: { preStop: appPreStop } }] }),
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

process.exitCode = writeOrCheck({ folder: import.meta.dirname, files: files(), generator: 'deploy/generate.ts' })
