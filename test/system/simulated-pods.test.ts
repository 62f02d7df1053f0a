// Manifests of test/inject/manifests after inject, run as pods on this machine: rolled out, moved off a node,
// and shut down with it, while clients of every kind go on. The test counts broken, refused and lost
// connections, and there must be none.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { test, type Test } from 'tap'
import { parseAllDocuments } from 'yaml'
import { injectIt, optionsOf, read } from '../inject/snapshots.ts'
import type { Loose } from '../deploy/kubernetes.ts'
import { liner, requester, talker, type Choose, type Client } from '../support/clients-of-a-service.ts'
import { eventually } from '../support/eventually.ts'
import { whyNoNetwork } from '../support/netns.ts'
import { startPod, type Ended, type Image, type Pod } from '../support/pods.ts'
import { build } from './program.ts'

t.setTimeout(480_000)

const options = { skip: whyNoNetwork() ?? (false as const), timeout: 240_000 }
/** Short enough for a test, in the proportions of the defaults. */
const drain = 'drain: { minDuration: 1s, spread: 1s, timeout: 20s, tcp: spread }\n'

/** A careless application: it answers on each of its ports, and ends at the first SIGTERM, whatever it serves. */
const application = `
const { createServer } = require('node:http')
const { WebSocketServer } = require('ws')
const { createServer: createTcp } = require('node:net')
const served = new Set()
// The ends of connections that the gate has closed may be on their way still; one that is served stays.
const leave = (looks) => {
  if (served.size > 0 && looks > 0) return void setTimeout(leave, 20, looks - 1)
  console.log('went with ' + served.size)
  process.exit(0)
}
process.on('SIGTERM', () => leave(5))
const serve = (one, end) => { served.add(one); one.on(end, () => served.delete(one)).on('error', () => {}) }
for (const word of process.argv.slice(1)) {
  const [protocol, port] = word.split(':')
  if (protocol === 'tcp') createTcp({ allowHalfOpen: true }, (socket) => { serve(socket, 'close'); socket.pipe(socket) }).listen(Number(port))
  else {
    const server = createServer((_, answer) => { serve(answer, 'close'); setTimeout(() => answer.end('ok'), 5) }).listen(Number(port))
    new WebSocketServer({ server }).on('connection', (socket) => { serve(socket, 'close'); socket.on('message', (data) => socket.send(data)) })
  }
}
setInterval(() => {}, 1000)`

interface Workload {
  pod: Loose
  config: string
  /** By the name of a port of the Service. */
  targets: Record<string, number>
}

function injected(name: string, change: (text: string) => string): Workload {
  const { stdout } = injectIt(optionsOf(name), change(read(name, 'in.yaml')))
  const objects = parseAllDocuments(stdout, { merge: true })
    .map((document): Loose => document.toJS())
    .flatMap((object) => (object?.kind === 'List' ? (object.items as Loose[]) : [object]))
  const of = (kind: string): Loose => objects.find((object) => object?.kind === kind)
  const workload = of('Deployment') ?? of('StatefulSet')
  const ports = of('Service').spec.ports as Loose[]
  return {
    pod: workload.spec.template,
    config: of('ConfigMap').data['sidegate.yaml'],
    targets: Object.fromEntries(ports.map(({ name: port, targetPort }) => [port, targetPort])),
  }
}

/** The images of a workload: the current build of the gate, applications that answer on their ports, nothing for the rest. */
async function imageOf(t: Test, { config, pod }: Workload): Promise<Image> {
  const cli = await build()
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-pod-'))
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'sidegate.yaml'), config + drain)
  // The only program of an image that a hook here calls: it has the same effect on nginx as SIGTERM.
  writeFileSync(join(directory, 'nginx'), '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  const translate = (word: string): string =>
    ({
      '/nodejs/bin/node': process.execPath,
      '/app/dist/cli.js': cli,
      '/etc/sidegate/sidegate.yaml': join(directory, 'sidegate.yaml'),
    })[word] ?? word
  return {
    translate,
    path: directory,
    command({ name, args, ports = [] }: Loose) {
      if (name === 'sidegate') return [process.execPath, cli, ...(args as string[]).map(translate)]
      const isInit = (pod.spec.initContainers as Loose[]).some((one) => one.name === name)
      if (isInit) return ['true']
      const words = (ports as Loose[]).map(
        (port) => `${port.name === 'mqtt' ? 'tcp' : 'http'}:${port.containerPort}`,
      )
      return [process.execPath, '-e', application, '--', ...words]
    },
  }
}

interface Scene {
  start(name: string): Promise<Pod>
  clients: readonly Client[]
  pods: Set<Pod>
}

function scene(
  t: Test,
  { workload, image, make }: { workload: Workload; image: Image; make: (choose: Choose) => Client[] },
): Scene {
  const pods = new Set<Pod>()
  let turn = 0
  // As kube-proxy does: any ready pod, chosen anew for each connection.
  const choose = (): string | null => {
    const ready = [...pods].filter(({ isReady }) => isReady)
    return ready[turn++ % Math.max(1, ready.length)]?.ip ?? null
  }
  return {
    pods,
    clients: make(choose),
    async start(name) {
      const pod = await startPod(t, name, { spec: workload.pod.spec, image })
      pods.add(pod)
      return pod
    },
  }
}

/** Every client has had an answer since. */
async function servesAll(clients: readonly Client[]): Promise<void> {
  const before = clients.map((one) => one.done())
  await eventually(() => clients.every((one, nth) => one.done() > before[nth]! + 3), {
    withinMs: 20_000,
    what: 'every client to be served',
  })
}

const losses = (clients: readonly Client[]): string[] => clients.flatMap((one) => one.losses)

/** The containers ended in order, by themselves, and the application after its last connection. */
function isOrderly(
  t: Test,
  what: string,
  { pod, ended, app }: { pod: Pod; ended: Ended; app: string },
): void {
  t.strictSame(ended.killed, [], `${what}: nobody is killed`)
  t.equal(ended.codes.at(-1)?.[0], 'sidegate', `${what}: the gate is the last to go`)
  for (const name of [app, 'sidegate'])
    t.equal(ended.codes.find(([one]) => one === name)?.[1], 0, `${what}: ${name} ends by itself`)
  t.ok(
    Object.values(ended.hooks).every((code) => code === 0 || code === 200),
    `${what}: ${JSON.stringify(ended.hooks)}`,
  )
  t.match(pod.output(app), 'went with 0', `${what}: nobody was served when the application went`)
}

/** Roll-out, drain of a node, shutdown of a node. */
async function lives(
  t: Test,
  workload: Workload,
  { app, make }: { app: string; make: (choose: Choose) => Client[] },
): Promise<void> {
  const image = await imageOf(t, workload)
  const { start, clients, pods } = scene(t, { workload, image, make })
  t.teardown(() => Promise.all(clients.map((one) => one.stop())))
  const old = await start('old')
  await servesAll(clients)

  const [next, other] = [await start('next'), await start('other')]
  const ended = await old.end()
  pods.delete(old)
  isOrderly(t, 'a roll-out', { pod: old, ended, app })
  await servesAll(clients)
  t.strictSame(losses(clients), [], 'a roll-out loses nothing')

  // The eviction comes first, and the next pod after the end of the one before.
  isOrderly(t, 'the drain of a node', { pod: next, ended: await next.end(), app })
  pods.delete(next)
  const later = await start('later')
  await servesAll(clients)
  t.strictSame(losses(clients), [], 'the drain of a node loses nothing')

  // All pods of the node at once, with no other pod meanwhile; the kubelet gives them less time than they ask for.
  const [one, two] = await Promise.all([other.end(30), later.end(30)])
  isOrderly(t, 'a shutdown', { pod: other, ended: one, app })
  isOrderly(t, 'a shutdown', { pod: later, ended: two, app })
  for (const pod of [other, later]) pods.delete(pod)
  await start('after')
  await servesAll(clients)
  await Promise.all(clients.map((client) => client.stop()))
  t.strictSame(losses(clients), [], 'the shutdown of a node loses nothing')
  for (const [nth, client] of clients.entries())
    t.ok(client.partings.length > 0, `client ${nth} was asked to go`)
}

const three = (make: () => Client): Client[] => [make(), make(), make()]

test(
  'a Deployment of WebSockets and requests behind a gate loses nothing as its pods come and go',
  options,
  async (t) => {
    const chat = injected('chat', (text) => text)
    const port = chat.targets['http']!
    const make = (choose: Choose): Client[] => [
      ...three(() => requester(choose, port)),
      ...three(() => talker(choose, port)),
    ]
    await lives(t, chat, { app: 'chat', make })
  },
)

test(
  'a StatefulSet with a port of bytes and one of WebSockets loses nothing as its pods come and go',
  options,
  async (t) => {
    const broker = injected('broker', (text) => text)
    const make = (choose: Choose): Client[] => [
      ...three(() => liner(choose, broker.targets['mqtt']!)),
      ...three(() => talker(choose, broker.targets['ws']!)),
    ]
    await lives(t, broker, { app: 'mosquitto', make })
  },
)

test(
  'a pod of several containers, dialled at its own address, its hook chained as the docs say, loses nothing',
  options,
  async (t) => {
    const hook = '"sleep 5; nginx -s quit"'
    const chained = '"wget -q -O /dev/null http://127.0.0.1:17021/drain/wait; nginx -s quit"'
    t.ok(read('shop', 'in.yaml').includes(hook))
    const shop = injected('shop', (text) => text.replace(hook, chained))
    t.match(shop.config, '${POD_IP}:8080')
    const port = shop.targets['web']!
    const make = (choose: Choose): Client[] => [
      ...three(() => requester(choose, port)),
      ...three(() => talker(choose, port)),
    ]
    await lives(t, shop, { app: 'nginx', make })
  },
)
