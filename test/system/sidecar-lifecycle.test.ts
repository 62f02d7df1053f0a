// The pod of deploy/manifests as the kubelet runs it, on the shipped ports: a network namespace is the pod,
// another one the node, which probes and connects by the pod's address. The test reads commands, hooks and
// probes from the manifest.

import { execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { parse } from 'yaml'
import { eventually, within } from '../support/eventually.ts'
import { GATE_FOR_CLIENT, network, whyNoNetwork, type Network, type Peer } from '../support/netns.ts'
import { plainEnv } from '../support/plain-env.ts'
import { build, configFile, runFile } from './program.ts'

interface Probe {
  httpGet: { path: string; port: number }
}
interface Container {
  args: string[]
  command: string[]
  startupProbe: Probe
  readinessProbe: Probe
  livenessProbe: Probe
  lifecycle: { preStop: Probe & { exec: { command: string[] } } }
}
interface Answer {
  code: number
  output: string
}

const root = join(import.meta.dirname, '../..')
const options = { skip: whyNoNetwork() ?? (false as const), timeout: 60_000 }
const read = (name: string): unknown => parse(readFileSync(join(root, 'deploy/manifests', name), 'utf8'))
const { template } = (
  read('deployment.yaml') as {
    spec: { template: { spec: Record<'initContainers' | 'containers', [Container]> } }
  }
).spec
const [sidecar, app] = [template.spec.initContainers[0], template.spec.containers[0]]
const shipped = (read('configmap.yaml') as { data: Record<string, string> }).data['sidegate.yaml'] ?? ''
const servicePort = (read('service.yaml') as { spec: { ports: [{ targetPort: number }] } }).spec.ports[0]
  .targetPort

/** Sends a word every 50 ms, and prints the answers. */
const talker = `
const socket = new (require('ws'))(process.argv[1])
socket.on('open', () => { console.log('open'); setInterval(() => socket.readyState === 1 && socket.send('hello'), 50) })
socket.on('message', () => console.log('echo'))
socket.on('error', (error) => console.log('error ' + error.message))
socket.on('close', (code, reason) => { console.log('closed ' + code + ' ' + reason); process.exit() })`

function execute([command = '', ...args]: string[]): Promise<Answer> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { env: plainEnv() }, (_, stdout, stderr) =>
      resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
    )
  })
}

/** Asks as the kubelet does: from the node, at the pod's address. Resolves with the status. */
async function probe(net: Network, { httpGet: { path, port } }: Probe): Promise<string> {
  const { output } = await execute([
    ...net.under('client'),
    'curl',
    '-sS',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    '--max-time',
    '30',
    `http://${GATE_FOR_CLIENT}:${port}${path}`,
  ])
  return output
}

/** A command of the image, with this machine's Node and the current build of the program. */
async function inPod(net: Network, command: readonly string[]): Promise<string[]> {
  const cli = await build()
  return [
    ...net.under('gate'),
    ...command.map((word) =>
      word === '/nodejs/bin/node'
        ? process.execPath
        : word === '/app/dist/cli.js'
          ? cli
          : word.replace('/app/package.json', join(root, 'package.json')),
    ),
  ]
}

interface Pod {
  net: Network
  gate: Awaited<ReturnType<typeof runFile>>
  sidegate(word: string): Promise<Answer>
}

async function startSidecar(t: Test, config: string): Promise<Pod> {
  const net = network(t)
  t.strictSame(sidecar.args, ['run', '-c', '/etc/sidegate/sidegate.yaml'])
  const gate = await runFile(t, configFile(t, config), { under: net.under('gate'), isAsked: false })
  const sidegate = async (word: string): Promise<Answer> =>
    execute(await inPod(net, ['/nodejs/bin/node', '/app/dist/cli.js', word]))
  await eventually(async () => (await probe(net, sidecar.startupProbe)) === '200', {
    withinMs: 30_000,
    what: 'the start-up probe to pass',
  })
  return { net, gate, sidegate }
}

async function startApp(t: Test, net: Network): Promise<{ kill(): void; exited: Promise<number | null> }> {
  const [command = '', ...args] = await inPod(net, app.command)
  const child = spawn(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env: plainEnv() })
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const ready = { httpGet: { path: '/', port: 8080 } }
  await eventually(async () => (await probe(net, ready)) === '200', {
    withinMs: 30_000,
    what: 'the application to be ready',
  })
  return { kill: () => void child.kill('SIGTERM'), exited }
}

const echoes = ({ lines }: Peer): number => lines.filter((line) => line === 'echo').length

test(
  'the shipped pod starts before its application, is drained by its hooks while the application lives, and ends with 0',
  options,
  async (t) => {
    // The shipped file, with a drain short enough for a test.
    const { net, gate, sidegate } = await startSidecar(
      t,
      `${shipped}drain: { minDuration: 4s, spread: 500ms, timeout: 10s, tcp: spread }\n`,
    )
    for (const one of [sidecar.startupProbe, sidecar.readinessProbe, sidecar.livenessProbe])
      t.equal(await probe(net, one), '200', `${one.httpGet.path} does not wait for the application`)
    t.match(await sidegate('health'), { code: 0, output: /^ready/ })
    const application = await startApp(t, net)
    const client = net.run('client', talker, `ws://${GATE_FOR_CLIENT}:${servicePort}`)
    await client.said('echo')

    // The kubelet's first step when a pod terminates: both hooks, at once.
    let hookAnswered: string | null = null
    const hook = probe(net, app.lifecycle.preStop).then((status) => (hookAnswered = status))
    const preStop = await execute(await inPod(net, sidecar.lifecycle.preStop.exec.command))
    t.equal(preStop.code, 0, preStop.output)
    const before = echoes(client)
    t.equal(hookAnswered, null, 'the application is held')
    t.equal(await probe(net, sidecar.readinessProbe), '503')
    t.equal(await probe(net, sidecar.livenessProbe), '200', 'a drain is no reason to be restarted')
    t.match(await sidegate('health'), { code: 1, output: /^not ready/ })
    await eventually(() => echoes(client) > before, { what: 'the client to be served on' })

    t.equal(await client.said('closed'), 'closed 1012 drain')
    t.equal(await within(hook), '200')
    t.equal(gate.child.exitCode, null, 'the sidecar stays until it is told')
    application.kill()
    t.equal(await application.exited, 0)
    gate.child.kill('SIGTERM')
    t.equal(await within(gate.exited), 0, gate.errors())
    t.equal(
      gate.lines.filter((line) => line.includes('drain begins')).length,
      1,
      'what is drained already does not drain again',
    )
  },
)

test('the hook of the application does not hold a pod whose gate is not draining', options, async (t) => {
  const { net, gate } = await startSidecar(t, shipped)
  const start = performance.now()
  t.equal(await within(probe(net, app.lifecycle.preStop), { withinMs: 20_000 }), '200')
  const took = performance.now() - start
  t.ok(took > 4000, `answered after ${Math.round(took)} ms`)
  t.equal(await probe(net, sidecar.readinessProbe), '200')
  t.equal(gate.child.exitCode, null)
})
