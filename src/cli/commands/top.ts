// `sidegate top`: the live connections of one running gate or of several, again every second, the busiest or
// oldest first. Where the output is no terminal it prints them once.

import { adminOptions } from './admin-client.ts'
import { filterOptions, queryOf, sortOf, stateOf } from './filters.ts'
import { findGates, gatesOptions } from './gates.ts'
import { formatRows } from './rows.ts'
import { headLines } from './top-lines.ts'
import { Lookout } from './top-look.ts'
import type { Look } from './top-look.ts'
import { Top } from './top-display.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, RefusedError } from './usage.ts'

/** More than the tallest terminal shows; the rest is reached by scrolling. */
const MAX_ROWS = 1000

export async function top(args: string[]): Promise<number> {
  const { values } = parse({
    args,
    options: {
      ...adminOptions,
      ...gatesOptions,
      ...filterOptions,
      json: { type: 'boolean', default: false },
    },
  })
  const order = { sort: sortOf(values), state: stateOf(values) }
  const query = queryOf(values, MAX_ROWS)
  const lookout = new Lookout(await findGates(values))
  // Before the screen is taken, so that a missing gate is reported in the usual way.
  const first = await lookout.look(query, order.sort)
  const problems = first.gates.map(({ problem }) => problem)
  if (problems.every((problem) => problem !== null)) throw new RefusedError(problems.join('; '))
  if (values.json) return printJson(jsonOf(first))
  if (!process.stdout.isTTY) {
    process.stdout.write(
      `${headLines(lookout.gates, first, order).join('\n')}\n\n${formatRows(first.rows).join('\n')}\n`,
    )
    return OK
  }
  await new Top({ lookout, query, order, first }).run()
  return OK
}

/** One gate as always; several as a list. */
function jsonOf({ gates, rows }: Look): unknown {
  const shown = rows.map((row) => ({ ...row, of: undefined }))
  return gates.length === 1
    ? { info: gates[0]!.info, connections: shown }
    : { gates: gates.map(({ name, info, problem }) => ({ gate: name, info, problem })), connections: shown }
}
