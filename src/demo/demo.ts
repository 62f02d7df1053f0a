// `sidegate demo`: a legacy service, the gate before it, and well-behaved and faulty clients, in one process.
// It shows on one screen the action of each client, the gate's reaction with its reason, and the metrics that
// moved; every row is checked.

import { CONFIG, OK, REFUSED } from '../core/exit-codes.ts'
import { ConfigError } from '../core/errors.ts'
import { badClients, badService, goodClients } from './scenes.ts'
import type { Outcome, Scene } from './scenes.ts'
import { bad, faint, good, say, strong, tableHead, tableRow, wrapped } from './screen.ts'
import { sums } from './scrape.ts'
import type { Samples } from './scrape.ts'
import { sleep, within } from './sleep.ts'
import { Stage } from './stage.ts'
import type { Ports } from './stage.ts'

export interface DemoOptions {
  /** Stays up after the show, on ports that are easy to remember, until a signal. */
  keep: boolean
}

const SCENE_MS = 20_000
const GONE_MS = 5000
const DRAIN_MS = 2000

/** By `npm run demo` or npx, which put the program on nobody's PATH, the next command needs npx too. */
const command = process.env['npm_command'] === undefined ? 'sidegate' : 'npx --no -- sidegate'

const anyPorts: Ports = { web: 0, lines: 0, health: 0, admin: 0 }
const friendlyPorts: Ports = { web: 17080, lines: 17081, health: 17021, admin: 17020 }

/** Resolves with the exit code: 1 where a scene did not end as it must. */
export async function demo({ keep }: DemoOptions): Promise<number> {
  const stage = new Stage()
  try {
    await stage.start(keep ? friendlyPorts : anyPorts)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(
      `sidegate demo cannot start: ${error.problems.map(({ message }) => message).join('; ')}\n`,
    )
    if (keep)
      process.stderr.write(
        `--keep needs the ports ${Object.values(friendlyPorts).join(', ')}; without it any free ones are used\n`,
      )
    stage.service.stop()
    return CONFIG
  }
  const failures = await show(stage)
  if (keep) await keepUp(stage)
  await stage.stop(keep ? DRAIN_MS : 1)
  return failures === 0 ? OK : REFUSED
}

/** Plays everything at once, and prints it in order. Returns how many rows are not as expected. */
async function show(stage: Stage): Promise<number> {
  say(
    strong('sidegate demo') +
      `: a legacy service on 127.0.0.1:${stage.service.webPort} (WebSocket) and :${stage.service.linePort} (TCP lines),`,
  )
  say(
    `the gate before it on :${stage.port('web')} and :${stage.port('lines')}, and its clients. Deadlines are short here:`,
  )
  say('handshake, response, write and halfClose 1s, ping every 500ms and as long for the pong, idle 2s.')
  const before = await stage.scrape()
  const acts = [
    { title: 'A CLIENT THAT BEHAVES', scenes: goodClients },
    { title: 'A CLIENT THAT DOES NOT', scenes: badClients },
    { title: 'A SERVICE THAT DOES NOT', scenes: badService },
  ].map(({ title, scenes }) => ({
    title,
    rows: scenes.map((scene) => ({ scene, outcome: played(scene, stage) })),
  }))
  let failures = 0
  for (const { title, rows } of acts) {
    say()
    say(tableHead(title))
    for (const { scene, outcome } of rows) failures += row(scene, await outcome) ? 0 : 1
  }
  failures += (await tellMetrics(stage, before)) ? 0 : 1
  const count = acts.reduce((sum, { rows }) => sum + rows.length, 1)
  say()
  say(
    failures === 0
      ? good(`all ${count} as expected`) + `; ${command} explain REASON tells more of each`
      : bad(`!! ${failures} of ${count} not as expected`),
  )
  return failures
}

async function played(scene: Scene, stage: Stage): Promise<Outcome> {
  try {
    return await within(scene.play(stage), SCENE_MS, 'the scene')
  } catch (error) {
    return { reason: '-', side: '-', saw: error instanceof Error ? error.message : String(error) }
  }
}

function row(scene: Scene, outcome: Outcome): boolean {
  const { protocol, does, expected } = scene
  const isExpected =
    outcome.reason === expected.reason && outcome.side === expected.side && outcome.saw === expected.saw
  say(tableRow({ protocol, does, ...outcome }, isExpected))
  if (!isExpected) say(tableRow({ protocol: '', does: '  expected:', ...expected }, false))
  return isExpected
}

const shown = [
  { name: 'connections_closed_total', label: 'reason' },
  { name: 'connections_rejected_total', label: 'reason' },
  { name: 'upstream_connect_failures_total', label: 'reason' },
  { name: 'websocket_messages_total', label: 'direction' },
  { name: 'websocket_pings_total', label: '' },
  { name: 'backpressure_pauses_total', label: 'direction' },
  { name: 'receive_bytes_total', label: 'side' },
] as const

/** Prints a scrape, and whether it agrees with the log, and whether nothing is left. */
async function tellMetrics(stage: Stage, before: Samples): Promise<boolean> {
  const after = await whenGone(stage)
  say()
  say(
    strong('    METRICS THAT MOVED ') +
      faint(`(sidegate_*, from http://127.0.0.1:${stage.healthPort}/metrics, summed over listeners)`),
  )
  for (const { name, label } of shown) {
    const old = sums(before, `sidegate_${name}`, label)
    const moved = [...sums(after, `sidegate_${name}`, label)].map(
      ([key, value]) => [key, value - (old.get(key) ?? 0)] as const,
    )
    const words = moved
      .filter(([, value]) => value !== 0)
      .map(([key, value]) => (key === '' ? `${value}` : `${key} ${value}`))
    if (words.length > 0) say(wrapped(name, words))
  }
  const closed = sums(after, 'sidegate_connections_closed_total', 'reason')
  const isSame =
    closed.size === stage.logged.size &&
    [...stage.logged].every(([reason, count]) => closed.get(reason) === count)
  const left = open(after)
  const isExpected = isSame && left === 0
  const does = `the log counts ${isSame ? 'the same ends' : 'other ends'}; connections left: ${left}`
  say(`${isExpected ? good('ok') : bad('!!')}  ${isExpected ? does : bad(does)}`)
  return isExpected
}

/** A scrape once no connection is open, or the last one if some stay. */
async function whenGone(stage: Stage): Promise<Samples> {
  let samples = await stage.scrape()
  for (let waited = 0; open(samples) > 0 && waited < GONE_MS; waited += 100) {
    await sleep(100)
    samples = await stage.scrape()
  }
  return samples
}

function open(samples: Samples): number {
  return [
    ...sums(samples, 'sidegate_connections', '').values(),
    ...sums(samples, 'sidegate_connections_pending', '').values(),
  ].reduce((sum, value) => sum + value, 0)
}

async function keepUp(stage: Stage): Promise<void> {
  const signal = new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => resolve())
  })
  stage.onLogLine = (line) => process.stdout.write(line)
  const metrics = `curl -s http://127.0.0.1:${stage.healthPort}/metrics`
  say()
  say('The gate stays up; each end is logged below. Ctrl-C ends it. To try:')
  say(`  python3 -m websockets ws://127.0.0.1:${stage.port('web')}/     kill -STOP it: ping_timeout`)
  say(
    `  nc 127.0.0.1 ${stage.port('lines')}                                lines are echoed; try slow x, crash, stuck`,
  )
  say(`  ${metrics} | grep 'closed_total.* [1-9]'`)
  say(`  curl -s http://127.0.0.1:${stage.adminPort}/connections`)
  say(`  ${command} explain ping_timeout`)
  await signal
}
