// `sidegate info`: the version of a gate, its start, and its state.

import type { Info, MemoryView, WorkersView } from '../../admin/types.ts'
import { sharedInWords } from '../../admin/shared-words.ts'
import { lostInWords, silentInWords } from '../../admin/worker-words.ts'
import { formatBytes } from '../../core/wait.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { formatAge } from '../../core/wait.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, printLine } from './usage.ts'

export async function info(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, json: { type: 'boolean', default: false } } })
  const answer = await askJson<Info>(await findGate(values), '/info', { isQuiet: true })
  if (values.json) return printJson(answer)
  for (const [name, text] of linesOf(answer)) printLine(`${name.padEnd(13)}${text}`)
  return OK
}

function linesOf(it: Info): Array<[string, string]> {
  const { config, memory, workers } = it
  const counts = (of: Record<string, number>): string =>
    Object.entries(of)
      .map(([name, count]) => `${count} ${name}`)
      .join(', ')
  const lines: Array<[string, string]> = [
    ['version', `${it.version} (${it.revision}), Node ${it.node}, process ${it.pid}`],
    ['state', it.drain === 'none' ? it.state : `${it.state}, the drain is ${it.drain}`],
    ['up', `for ${formatAge(it.uptimeMs)}, since ${it.startedAt}`],
    [
      'connections',
      it.connections === 0 ? '0' : `${it.connections}: ${counts(it.protocols)}; ${counts(it.phases)}`,
    ],
  ]
  if (config !== null) lines.push(['configuration', ` ${config.hash}, applied ${config.appliedAt}`])
  if (config !== null && config.failedAt !== null)
    lines.push(['refused', `a newer one at ${config.failedAt}; sidegate config --error says why`])
  if (config !== null && config.restartRequired.length > 0)
    lines.push(['waits', `for a restart: ${config.restartRequired.join(', ')}`])
  if (memory !== null)
    lines.push([
      'memory',
      `${formatBytes(memory.usageBytes)} of ${formatBytes(memory.limitBytes)}, pressure ${memory.pressure.toFixed(2)}${heapInWords(memory)}`,
    ])
  if (it.shared !== null) lines.push(['fleet', sharedInWords(it.shared)])
  return workers == null ? lines : [...lines, ...linesOfWorkers(workers)]
}

function linesOfWorkers({ count, silent, lastEnd }: WorkersView): Array<[string, string]> {
  const words = silentInWords(silent)
  const lines: Array<[string, string]> = [['workers', `${count}${words === null ? '' : `; ${words}`}`]]
  if (lastEnd !== null) lines.push(['ended', lostInWords(lastEnd)])
  return lines
}

/** A gate of an older version does not say. */
function heapInWords({ heapShare }: Partial<MemoryView>): string {
  return heapShare === undefined ? '' : `, heap ${Math.round(100 * heapShare)}%`
}
