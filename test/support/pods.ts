// Pods as the kubelet runs them, with this machine as their node: each is a network namespace with an address of its own, its
// containers are processes in it, started and ended in the order of native sidecars. Commands, hooks, probes and graces are
// those of the manifest; only the content of an image is replaced. Needs root and iproute2.
//
//     start: init containers one after the other (a sidecar is passed when its start-up probe has), then the containers
//     end:   all hooks at once; SIGTERM to each container after its hook; to the sidecars, last started first, when no
//            container is left; SIGKILL to the processes that are left at the end of the grace

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import http from 'node:http'
import type { Test } from 'tap'
import type { Loose } from '../deploy/kubernetes.ts'
import { eventually } from './eventually.ts'
import { plainEnv } from './plain-env.ts'

/** The time until senders learn that a pod terminates. */
const NEWS_MS = 300
/** The period of all probes, in place of their own: a test has less time. */
const PERIOD_MS = 100

export interface Image {
  /** The command line of a container in the place of the one in its image. */
  command(container: Loose, pod: { index: number }): string[]
  /** The path on this machine of an executable of the image. */
  translate(word: string): string
  /** A folder before the PATH of its hooks. */
  path?: string
}

export interface Ended {
  /** Names of containers that got SIGKILL. */
  killed: string[]
  /** Exit codes, in the order of their ends. */
  codes: [name: string, code: number | null][]
  /** The result of every hook: a status, or an exit code. */
  hooks: Record<string, number>
}

export interface Pod {
  readonly name: string
  readonly ip: string
  /** Whether a Service sends to it. */
  readonly isReady: boolean
  output(container: string): string
  /** Deletes it as `kubectl delete` does; `grace` in place of its own, in seconds. */
  end(grace?: number): Promise<Ended>
}

interface Process {
  container: Loose
  child: ChildProcess
  exited: Promise<number | null>
  output(): string
}

let made = 0

export async function startPod(
  t: Test,
  name: string,
  { spec, image }: { spec: Loose; image: Image },
): Promise<Pod> {
  const index = ++made
  const [namespace, ip] = [`sgp-${process.pid}-${index}`, `10.78.${index}.2`]
  makeNetwork(t, { namespace, index })
  const run = runner(t, { namespace, ip, index, image })
  const sidecars: Process[] = []
  for (const container of (spec.initContainers ?? []) as Loose[]) {
    const one = run(container)
    if (container.restartPolicy === 'Always') {
      sidecars.push(one)
      await passes(one, container.startupProbe, ip)
    } else await one.exited
  }
  const containers = (spec.containers as Loose[]).map((container) => run(container))
  const all = [...containers, ...sidecars]
  const readiness = watchReadiness(all, ip)
  t.teardown(() => readiness.stop())
  await eventually(readiness.isReady, { withinMs: 20_000, what: `${name} to be ready` })
  return {
    name,
    ip,
    get isReady() {
      return readiness.isReady()
    },
    output: (container) => all.find((one) => one.container.name === container)?.output() ?? '',
    async end(grace = spec.terminationGracePeriodSeconds as number) {
      setTimeout(() => readiness.stop(), NEWS_MS)
      const hooks: Record<string, number> = {}
      const hook = async ({ container }: Process): Promise<void> => {
        const { preStop } = container.lifecycle ?? {}
        if (preStop !== undefined)
          hooks[container.name as string] = await runHook(preStop, { namespace, ip, image })
      }
      return { ...(await terminate({ containers, sidecars, hook, grace })), hooks }
    },
  }
}

function makeNetwork(t: Test, { namespace, index }: { namespace: string; index: number }): void {
  const ipCommand = (...args: string[]): void =>
    void execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const link = `sgp${process.pid % 100_000}-${index}`
  ipCommand('netns', 'add', namespace)
  t.teardown(() => ipCommand('netns', 'del', namespace))
  ipCommand('link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace)
  ipCommand('addr', 'add', `10.78.${index}.1/24`, 'dev', link)
  ipCommand('link', 'set', link, 'up')
  ipCommand('-n', namespace, 'link', 'set', 'lo', 'up')
  ipCommand('-n', namespace, 'addr', 'add', `10.78.${index}.2/24`, 'dev', 'eth0')
  ipCommand('-n', namespace, 'link', 'set', 'eth0', 'up')
}

interface Place {
  namespace: string
  ip: string
  image: Image
}

function runner(
  t: Test,
  { namespace, ip, index, image }: Place & { index: number },
): (container: Loose) => Process {
  return (container) => {
    const command = ['netns', 'exec', namespace, ...image.command(container, { index })]
    const env = { ...plainEnv(), ...environment(container, ip) }
    const child = spawn('ip', command, { stdio: ['ignore', 'pipe', 'pipe'], env })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text))
    const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
    t.teardown(async () => {
      child.kill('SIGKILL')
      await exited
    })
    return { container, child, exited, output: () => output }
  }
}

function environment({ env = [] }: Loose, ip: string): Record<string, string> {
  return Object.fromEntries(
    (env as Loose[]).map(({ name, value, valueFrom }) => [
      name,
      valueFrom?.fieldRef?.fieldPath === 'status.podIP' ? ip : String(value ?? ''),
    ]),
  )
}

/** Resolves with the status of the answer; 0 where there is none. */
function ask(ip: string, { path = '/', port }: Loose): Promise<number> {
  return new Promise((resolve) => {
    http
      .get({ host: ip, port, path, agent: false }, (answer) => {
        answer.resume()
        answer.once('close', () => resolve(answer.statusCode ?? 0))
      })
      .once('error', () => resolve(0))
  })
}

async function isPassed(probe: Loose, container: Loose, ip: string): Promise<boolean> {
  const target = probe.httpGet ?? probe.tcpSocket
  const named = (container.ports ?? []).find(({ name }: Loose) => name === target.port)
  const port = named?.containerPort ?? target.port
  // A server without HTTP sends something else: for a probe by TCP any answer is enough.
  const status = await ask(ip, { ...target, port })
  return probe.httpGet === undefined ? true : status >= 200 && status < 400
}

async function passes({ container, child, output }: Process, probe: Loose, ip: string): Promise<void> {
  await eventually(
    async () => {
      if (child.exitCode !== null) throw new Error(`${container.name} ended: ${output()}`)
      return isPassed(probe, container, ip)
    },
    { withinMs: 20_000, what: `${container.name} to start` },
  )
}

function watchReadiness(all: readonly Process[], ip: string): { isReady(): boolean; stop(): void } {
  const probes = all.flatMap(({ container }) =>
    container.readinessProbe === undefined ? [] : [[container.readinessProbe, container] as const],
  )
  let ready = false
  const state = { isOver: false }
  const look = async (): Promise<void> => {
    while (!state.isOver) {
      const passed = await Promise.all(probes.map(([probe, container]) => isPassed(probe, container, ip)))
      ready = !state.isOver && passed.every(Boolean)
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
    }
  }
  void look()
  return {
    isReady: () => ready,
    stop() {
      state.isOver = true
      ready = false
    },
  }
}

/** The status of its answer, or its exit code. */
async function runHook({ exec, httpGet, sleep }: Loose, { namespace, ip, image }: Place): Promise<number> {
  if (httpGet !== undefined) return ask(ip, httpGet)
  if (sleep !== undefined) return new Promise((resolve) => setTimeout(resolve, sleep.seconds * 1000, 0))
  const words = (exec.command as string[]).map((word) => image.translate(word))
  const env = { ...plainEnv(), PATH: `${image.path ?? ''}:${process.env['PATH']}` }
  const child = spawn('ip', ['netns', 'exec', namespace, ...words], { stdio: 'ignore', env })
  return new Promise((resolve) => child.once('exit', (code) => resolve(code ?? -1)))
}

interface Ending {
  containers: readonly Process[]
  sidecars: readonly Process[]
  hook: (one: Process) => Promise<void>
  grace: number
}

async function terminate({ containers, sidecars, hook, grace }: Ending): Promise<Omit<Ended, 'hooks'>> {
  const killed: string[] = []
  const codes: Ended['codes'] = []
  const all = [...containers, ...sidecars]
  const timer = setTimeout(() => {
    for (const { child, container } of all) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      killed.push(container.name as string)
      child.kill('SIGKILL')
    }
  }, grace * 1000)
  const end = async (one: Process): Promise<void> => {
    one.child.kill('SIGTERM')
    codes.push([one.container.name as string, await one.exited])
  }
  // The hooks of all containers begin at once; a sidecar that waits for its turn first waits for its own hook.
  const hooks = new Map(all.map((one) => [one, hook(one)]))
  const over = (one: Process): Promise<unknown> => Promise.race([hooks.get(one), one.exited])
  await Promise.all(containers.map(async (one) => over(one).then(() => end(one))))
  for (const one of sidecars.toReversed()) {
    await over(one)
    await end(one)
  }
  clearTimeout(timer)
  return { killed, codes }
}
