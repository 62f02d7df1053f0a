import { test } from 'tap'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { whyNoNetwork } from '../support/netns.ts'
import { plainEnv } from '../support/plain-env.ts'
import { temporary } from '../support/tools.ts'

const why = whyNoNetwork()

test(
  'what the resolver of the system says: "no such name" is told from every failure, and gives up a name; a failure does not',
  { timeout: 120_000, ...(why === null ? {} : { skip: why }) },
  async (t) => {
    const resolv = join(temporary(t), 'resolv.conf')
    writeFileSync(resolv, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
    const program = fileURLToPath(new URL('resolver-child.ts', import.meta.url))
    const script = 'ip link set lo up && mount --bind "$1" /etc/resolv.conf && exec "$2" --no-warnings "$3"'
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['-n', '-m', 'sh', '-c', script, 'sh', resolv, process.execPath, program],
      { env: plainEnv() },
    )
    t.same(JSON.parse(stdout), {
      lookups: {
        v4: '127.0.0.1',
        nx: 'ENOTFOUND',
        empty: 'ENOTFOUND',
        servfail: 'EAI_AGAIN',
        refused: 'EAI_AGAIN',
        half: 'EAI_AGAIN',
        otherhalf: 'EAI_AGAIN',
        fine: '127.0.0.1',
        service: '127.0.0.1',
      },
      steps: {
        reached: true,
        'reached while A fails': true,
        'given up when there is no such name': true,
        'reached again': true,
      },
    })
  },
)
