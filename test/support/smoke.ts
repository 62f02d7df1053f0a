// Repeats wire tests, in processes of their own, under another environment (start-operator.ts).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import { partOf } from '../rings.ts'

const PROCESSES = 3
const child = join(import.meta.dirname, 'smoke-child.ts')

/** Files of test/wire by their names. Three processes share them; each process is a subtest. */
export async function runAgain(
  t: Test,
  names: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  t.jobs = PROCESSES
  const parts = Array.from({ length: PROCESSES }, (_, at) => partOf(names, `${at + 1}/${PROCESSES}`))
  await Promise.all(
    parts.map((part) =>
      t.test(part.join(', '), { buffered: true }, async (t) => {
        const running = spawn(process.execPath, [child, ...part], { env: { ...process.env, ...env } })
        let said = ''
        for (const stream of [running.stdout, running.stderr])
          stream.on('data', (chunk) => (said += String(chunk)))
        const [code] = await once(running, 'close')
        t.equal(code, 0, code === 0 ? 'they pass' : said)
      }),
    ),
  )
}
