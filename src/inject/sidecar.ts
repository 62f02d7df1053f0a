// The sidecar that Sidegate adds to a pod, as plain data: the one source of the block. `sidegate inject`
// writes it into manifests, deploy/generate.ts into the shipped patches and manifests, and a test compares
// the Helm chart with it.
//
// Its invariant: nothing in it waits for the upstream. The kubelet starts the application only after the
// start-up probe of the sidecar has passed, so a probe that waited for the application would wait for ever.

import type { Protocol } from './protocol.ts'

export const SIDECAR_NAME = 'sidegate'
export const CONFIG_VOLUME = 'sidegate-config'
const TMP_VOLUME = 'sidegate-tmp'
export const HEALTH_PORT = 17_021
export const ADMIN_PORT = 17_020
export const DEFAULT_PORT = 17_080
/** `drain.timeout` and 15 s for the application to end by itself. */
export const GRACE_SECONDS = 75
/** The label by which the component of kustomize, the PodMonitor and the NetworkPolicy find the pods. */
export const podLabels = { 'sidegate.io/sidecar': 'enabled' } as const
/** The user of the image. */
const IMAGE_USER = 65_532

const cli = ['/nodejs/bin/node', '/app/dist/cli.js']

export interface Sidecar {
  image: string
  /** Where clients reach it; the targetPorts of the Services. */
  ports: readonly number[]
  /** Its share, as Kubernetes writes quantities; null: enough for an ordinary service. */
  cpu?: string | null
  memory?: string | null
  /** Limits equal its requests, so that a pod of QoS class Guaranteed stays one. */
  isGuaranteed?: boolean
  /** The pod runs as root unless a container sets its own user: this one does. */
  isUserFixed?: boolean
  /** The upstream is the address of the pod, `POD_IP` of the environment. */
  hasPodIp?: boolean
}

export function sidecarContainer(sidecar: Sidecar): Record<string, unknown> {
  return {
    name: SIDECAR_NAME,
    image: sidecar.image,
    // A native sidecar: it starts before the application, ends after it, and does not keep a Job from ending.
    restartPolicy: 'Always',
    args: ['run', '-c', '/etc/sidegate/sidegate.yaml'],
    ...(sidecar.hasPodIp === true ? { env: [podIp] } : {}),
    ports: sidecarPorts(sidecar.ports),
    startupProbe: {
      httpGet: { path: '/startupz', port: HEALTH_PORT },
      periodSeconds: 1,
      failureThreshold: 60,
    },
    readinessProbe: {
      httpGet: { path: '/readyz', port: HEALTH_PORT },
      periodSeconds: 5,
      failureThreshold: 1,
    },
    livenessProbe: {
      httpGet: { path: '/livez', port: HEALTH_PORT },
      periodSeconds: 10,
      timeoutSeconds: 5,
      failureThreshold: 6,
    },
    // A native sidecar gets SIGTERM last, when the application is gone: only this hook comes in time.
    lifecycle: { preStop: { exec: { command: [...cli, 'drain'] } } },
    resources: sidecarResources(sidecar),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      // The image sets its user itself; where the platform assigns one (OpenShift) a number here would be
      // refused.
      ...(sidecar.isUserFixed === true ? { runAsUser: IMAGE_USER, runAsGroup: IMAGE_USER } : {}),
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

export const podIp = { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } } as const

export function sidecarPorts(ports: readonly number[]): { name: string; containerPort: number }[] {
  return [
    ...ports.map((containerPort, index) => ({
      name: index === 0 ? 'sidegate-in' : `sidegate-in-${index + 1}`,
      containerPort,
    })),
    { name: 'sidegate-health', containerPort: HEALTH_PORT },
  ]
}

/** No CPU limit: a gate that is throttled delays everyone. */
function sidecarResources({ cpu, memory, isGuaranteed }: Omit<Sidecar, 'image' | 'ports'>): object {
  const requests = { cpu: cpu ?? '50m', memory: memory ?? '128Mi' }
  if (isGuaranteed === true)
    return {
      requests: { ...requests, memory: memory ?? '256Mi' },
      limits: { ...requests, memory: memory ?? '256Mi' },
    }
  return { requests, limits: { memory: memory ?? '256Mi' } }
}

export function sidecarVolumes(configMap: string): Record<string, unknown>[] {
  return [
    { name: CONFIG_VOLUME, configMap: { name: configMap } },
    { name: TMP_VOLUME, emptyDir: { sizeLimit: '64Mi' } },
  ]
}

/**
 * Holds the application until the drain is over: otherwise its connections would be cut as soon as the pod
 * terminates.
 */
export const appPreStop = { httpGet: { path: '/drain/wait', port: HEALTH_PORT } } as const

/**
 * Without it, behind an ingress that ends TLS, X-Forwarded-Proto would be ours, `http`: an application that
 * forces HTTPS would redirect for ever.
 */
const believesIngress = (
  more: string,
): string => `    # An ingress at a private address is believed: the application sees client, scheme and port as without the gate.
    # Write [] where clients come directly (LoadBalancer, NodePort): they could claim to be anybody.
    http: { ${more}trustForwarded: [private] }
`

export interface ListenerWords {
  port: number
  appPort: number
  protocol: Protocol
}

/** The file in the ConfigMap of a workload that has none yet. */
export function smallestConfig(doors: readonly ListenerWords[], host = '127.0.0.1'): string {
  const listeners = doors.map(({ port, appPort, protocol }) => {
    const address = host.startsWith('$') ? JSON.stringify(`${host}:${appPort}`) : `${host}:${appPort}`
    const isHttp2 = protocol === 'h2c'
    return `  - address: ":${port}"
    protocol: ${isHttp2 ? 'http' : protocol}
    upstream: ${isHttp2 ? `{ addresses: [${JSON.stringify(`${host}:${appPort}`)}], protocol: h2c }` : address}
${protocol === 'tcp' ? '' : believesIngress(isHttp2 ? 'h2c: on, ' : '')}`
  })
  return `listeners:\n${listeners.join('')}`
}
