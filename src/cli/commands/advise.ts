// `sidegate advise`: limits that are learnt from the traffic of a running gate. It changes nothing.

import { stringify } from 'yaml'
import { spoken, TOO_LITTLE } from '../../admin/advice.ts'
import type { AdviceItem, AdviceView } from '../../admin/types.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { OK } from '../../core/exit-codes.ts'
import { formatAge } from '../../core/wait.ts'
import { parse, printJson, printLine, safe, UsageError } from './usage.ts'

export async function advise(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      ...adminOptions,
      listener: { type: 'string' },
      anyway: { type: 'boolean', default: false },
      reset: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      yaml: { type: 'boolean', default: false },
    },
  })
  if (values.json && values.yaml) throw new UsageError('advise prints JSON or YAML, not both')
  if (values.reset && (values.yaml || values.anyway || values.listener !== undefined))
    throw new UsageError('advise --reset forgets what was seen at every listener, and takes no other option')
  const gate = await findGate(values)
  if (values.reset) {
    const answer = await askJson<{ since: string }>(gate, '/advice', { method: 'DELETE' })
    if (values.json) return printJson(answer)
    printLine(`forgotten what was seen; it begins anew at ${answer.since}`)
    return OK
  }
  const query = new URLSearchParams()
  if (values.listener !== undefined) query.set('listener', values.listener)
  if (values.anyway) query.set('anyway', '1')
  const views = await askJson<AdviceView[]>(gate, `/advice?${query.toString()}`)
  if (values.json) return printJson(views)
  const lines = values.yaml ? patchLines(views) : [...views.flatMap(adviceLines), ...hint(views)]
  for (const line of lines) process.stdout.write(`${safe(line)}\n`)
  return OK
}

function hint(views: readonly AdviceView[]): string[] {
  const isShort = views.some(({ items }) => items.some(({ why }) => why.startsWith(TOO_LITTLE)))
  return isShort ? ['Of those with too little to go by, --anyway proposes all the same.'] : []
}

function adviceLines({ listener, since, ageMs, items }: AdviceView): string[] {
  return [`${listener}: seen since ${since}, for ${formatAge(ageMs)}`, '', ...items.flatMap(itemLines)]
}

function itemLines({ key, inForce, proposed, seen, why, unknown }: AdviceItem): string[] {
  const of = (value: number): string => spoken(seen.unit, value)
  const lines = [`  ${key}: ${inForce} now${proposed === null ? '' : `, ${proposed} proposed`}`]
  if (seen.count > 0)
    lines.push(
      `    ${seen.what}, ${seen.count} seen: half up to ${of(seen.p50)}, 99% up to ${of(seen.p99)}, 99.9% up to ${of(seen.p999)}, the greatest ${of(seen.max)}`,
    )
  lines.push(`    ${why}`)
  if (unknown !== null) lines.push(`    ${unknown}`)
  return [...lines, '']
}

/** A patch for `sidegate check FILE --patch`. */
function patchLines(views: readonly AdviceView[]): string[] {
  const listeners = views.flatMap(({ listener, items }) => {
    const tree = {}
    for (const { patch } of items)
      for (const [key, value] of Object.entries(patch)) put(tree, key.split('.'), value)
    return Object.keys(tree).length === 0 ? [] : [{ name: listener, ...tree }]
  })
  if (listeners.length === 0) return ['# nothing is proposed: sidegate advise says why']
  return [
    '# Proposed by sidegate advise, from what connections did. Save it as advice.yaml, then',
    '#   sidegate check FILE --patch advice.yaml            says whether FILE is valid with it',
    '#   sidegate check FILE --patch advice.yaml --print    prints FILE with it, comments and all',
    '# To try limits first without their effect, write mode: observe beside them.',
    ...stringify({ listeners }, { lineWidth: 0 }).trimEnd().split('\n'),
  ]
}

function put(tree: Record<string, unknown>, [name, ...rest]: string[], value: unknown): void {
  if (rest.length === 0) tree[name!] = value
  else put((tree[name!] ??= {}) as Record<string, unknown>, rest, value)
}
