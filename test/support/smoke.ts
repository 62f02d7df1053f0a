// Repeats wire tests, as processes of their own, under another environment (start-operator.ts).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'

const wire = join(import.meta.dirname, '../wire')

/** Each file as a subtest, three at a time. */
export async function runAgain(
  t: Test,
  names: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<void> {
  t.jobs = 3
  await Promise.all(
    names.map((name) =>
      t.test(name, { buffered: true }, async (t) => {
        const child = spawn(process.execPath, [join(wire, `${name}.test.ts`)], {
          env: { ...process.env, ...env },
        })
        let said = ''
        for (const stream of [child.stdout, child.stderr])
          stream.on('data', (chunk) => (said += String(chunk)))
        const [code] = await once(child, 'close')
        t.equal(code, 0, code === 0 ? 'it passes' : said)
      }),
    ),
  )
}
