// The path from an alert to its cause, by the commands of the runbook: gates with a fault, and an operator
// who knows only the alert and its runbook.

import { writeFileSync } from 'node:fs'
import root from 'tap'
import type { Test } from 'tap'
import { alerts } from '../../deploy/observability/alerts.ts'
import { eventually } from '../support/eventually.ts'
import { get } from '../support/http-peers.ts'
import { connect, echo, mute, refuser } from '../support/peers.ts'
import { pageAt, runbookOf, shellBeside } from './on-call.ts'
import type { Shell, Typed } from './on-call.ts'
import { configFile, freePorts, runFile } from './program.ts'
import type { Program } from './program.ts'

root.setTimeout(120_000)

interface Scene {
  gate: Program
  /** The configuration file, as mounted into the pod. */
  file: string
  shell: Shell
}

async function scene(t: Test, listeners: string[]): Promise<Scene> {
  const [health, admin, ...ports] = freePorts(2 + listeners.length)
  const rows = listeners.map(
    (keys, nth) => `  - { name: l${nth}, address: "127.0.0.1:${ports[nth]}", ${keys} }\n`,
  )
  const file = configFile(
    t,
    `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\nlisteners:\n${rows.join('')}`,
  )
  const gate = await runFile(t, file, { ports: [health!, admin!, ...ports] })
  return { gate, file, shell: await shellBeside(t, gate, file) }
}

const outputOf = (typed: Map<string, Typed>, word: string): string =>
  [...typed].find(([command]) => command.includes(word))?.[1].output ?? ''
const ended = (gate: Program, reason: string): Promise<unknown> =>
  eventually(() => gate.lines.some((line) => line.includes(`"close":"${reason}"`)), { what: reason })

root.test('a service that hangs: the page names the reason, and the reason has a page', async (t) => {
  const hanging = await mute(t)
  const { gate, shell } = await scene(t, [
    `protocol: http, upstream: "127.0.0.1:${hanging.port}", deadlines: { response: 200ms }`,
    `protocol: http, upstream: "127.0.0.1:${hanging.port}"`,
  ])
  for (const port of [gate.port, gate.ports[1]!]) await (await connect(t, port)).write(get())
  await ended(gate, 'response_timeout')

  const burn = runbookOf('SidegateErrorBudgetBurn')
  const seen = await shell.follow(burn)
  t.match(outputOf(seen, 'grep'), /"close":"response_timeout","side":"upstream"/)
  t.notMatch(outputOf(seen, 'upstreams'), 'ECONNREFUSED', 'it accepts')
  t.match(burn.text, /`response_timeout`: see SidegateResponseTimeouts/)

  const next = runbookOf('SidegateResponseTimeouts')
  const then = await shell.follow(next)
  t.match(
    outputOf(then, 'connections'),
    /http +127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +relay/,
    'who waits for it',
  )
  t.match(outputOf(then, 'explain'), /deadlines\.response/)
})

root.test('a service that is gone: an address that is unhealthy, and what it said', async (t) => {
  const gone = refuser(t)
  const { gate, shell } = await scene(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${gone.port}"], retryFor: off, healthCheck: { type: tcp, interval: 1s, unhealthy: 1 } }`,
  ])
  await eventually(
    async () => (await gate.metrics()).get('sidegate_upstream_targets', { state: 'unhealthy' }) === 1,
    {
      what: 'an unhealthy address',
      withinMs: 30_000,
    },
  )
  await connect(t, gate.port).catch(() => {})
  await ended(gate, 'no_upstream')
  for (const alert of [
    'SidegateErrorBudgetBurn',
    'SidegateInstanceFailing',
    'SidegateNoUpstream',
    'SidegateUpstreamUnhealthy',
  ])
    t.match(
      outputOf(await shell.follow(runbookOf(alert)), 'upstreams'),
      /unhealthy +0 +.*ECONNREFUSED/,
      alert,
    )
})

root.test('a configuration that is refused: its line', async (t) => {
  const service = await echo(t)
  const { file, shell } = await scene(t, [`protocol: tcp, upstream: "127.0.0.1:${service.port}"`])
  t.match(await shell.type('kubectl exec -n NAMESPACE POD -c sidegate -- sidegate config --error'), {
    code: 0,
  })
  writeFileSync(file, 'listeners:\n  - nonsense\n')
  t.match(await shell.type('kubectl exec -n NAMESPACE POD -c sidegate -- sidegate reload'), { code: 1 })
  t.match(
    outputOf(await shell.follow(runbookOf('SidegateConfigRejected')), 'config --error'),
    /sidegate\.yaml:2:5 listeners\[0\]/,
  )
})

root.test('every command of every runbook, and of the page of symptoms, does what it says', async (t) => {
  const service = await echo(t)
  const { gate, shell } = await scene(t, [`protocol: tcp, upstream: "127.0.0.1:${service.port}"`])
  await (await connect(t, gate.port)).write('hello')
  const commands = new Set(
    [...alerts.map(({ name }) => runbookOf(name)), pageAt('docs/troubleshooting.md')].flatMap(
      (page) => page.commands,
    ),
  )
  t.ok(commands.size > 20)
  // Commands for a server outside of the cluster (a Redis) have no server here.
  for (const command of [...commands].filter((one) => one.startsWith('kubectl'))) {
    const { code, output } = await shell.type(command)
    // A log without such a line is good news.
    if (!command.includes('grep')) t.equal(code, 0, `${command}\n${output}`)
    else t.ok(code <= 1, command)
  }
})
