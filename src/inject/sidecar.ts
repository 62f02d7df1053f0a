// What Sidegate adds to a pod, as plain data: the one source of the block. `sidegate inject` writes it into manifests,
// deploy/generate.ts into the patches and manifests that are shipped, and a test holds the Helm chart to it.
//
// Its invariant: nothing in it waits for the upstream. The kubelet starts the application only when the start-up probe of
// the sidecar has passed, so a probe that asked for the application would wait for ever.

export const SIDECAR_NAME = 'sidegate'
export const CONFIG_VOLUME = 'sidegate-config'
export const TMP_VOLUME = 'sidegate-tmp'
export const HEALTH_PORT = 17_021
export const DEFAULT_PORT = 17_080
/** `drain.timeout` and 15 s in which the application ends by itself. */
export const GRACE_SECONDS = 75
/** By which the component of kustomize, the PodMonitor and the NetworkPolicy find the pods. */
export const podLabels = { 'sidegate.io/sidecar': 'enabled' } as const

const cli = ['/nodejs/bin/node', '/app/dist/cli.js']

export interface Sidecar {
  image: string
  /** Where clients reach it; the Service's targetPort. */
  port: number
}

export function sidecarContainer({ image, port }: Sidecar): Record<string, unknown> {
  return {
    name: SIDECAR_NAME,
    image,
    // A native sidecar: started before the application, ended after it, and no bar to the end of a Job.
    restartPolicy: 'Always',
    args: ['run', '-c', '/etc/sidegate/sidegate.yaml'],
    ports: [
      { name: 'sidegate-in', containerPort: port },
      { name: 'sidegate-health', containerPort: HEALTH_PORT },
    ],
    startupProbe: { httpGet: { path: '/startupz', port: HEALTH_PORT }, periodSeconds: 1, failureThreshold: 60 },
    readinessProbe: { httpGet: { path: '/readyz', port: HEALTH_PORT }, periodSeconds: 5, failureThreshold: 1 },
    livenessProbe: { httpGet: { path: '/livez', port: HEALTH_PORT }, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    // SIGTERM comes to a native sidecar last, when the application is gone: only this hook comes in time.
    lifecycle: { preStop: { exec: { command: [...cli, 'drain'] } } },
    // No CPU limit: a gate that is throttled delays everyone.
    resources: { requests: { cpu: '50m', memory: '128Mi' }, limits: { memory: '256Mi' } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: 65_532,
      runAsGroup: 65_532,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // The folder, never a subPath: a file that is mounted alone never changes.
    volumeMounts: [
      { name: CONFIG_VOLUME, mountPath: '/etc/sidegate', readOnly: true },
      { name: TMP_VOLUME, mountPath: '/tmp' },
    ],
  }
}

export function sidecarVolumes(configMap: string): Record<string, unknown>[] {
  return [
    { name: CONFIG_VOLUME, configMap: { name: configMap } },
    { name: TMP_VOLUME, emptyDir: { sizeLimit: '64Mi' } },
  ]
}

/** Holds the application until the drain is over: its connections would be cut otherwise as soon as the pod is to go. */
export const appPreStop = { httpGet: { path: '/drain/wait', port: HEALTH_PORT } } as const

/** Behind an ingress that ends TLS, X-Forwarded-Proto would be ours otherwise, `http`: an application that forces HTTPS redirects for ever. */
const believesIngress = `    # An ingress at a private address is believed: the application sees client, scheme and port as without the gate.
    # Write [] where clients come directly (LoadBalancer, NodePort): they could claim to be anybody.
    http: { trustForwarded: [private] }
`

/** The file in the ConfigMap of a workload that has none yet. */
export function smallestConfig({ port, appPort, protocol }: { port: number; appPort: number; protocol: 'http' | 'tcp' }): string {
  return `listeners:
  - address: ":${port}"
    protocol: ${protocol}
    upstream: 127.0.0.1:${appPort}
${protocol === 'http' ? believesIngress : ''}`
}
