// The generator of each room's README, from the charters in docs/architecture.md, so that a reader who opens a folder
// finds its subject there. `--check` writes nothing and exits 1 where a file is out of date. Run as `node docs/rooms.ts`.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeOrCheck } from './generated.ts'

const architecture = readFileSync(join(import.meta.dirname, 'architecture.md'), 'utf8')

const readmes = [...architecture.matchAll(/^\| `(\w+)` \| (.+) \|$/gm)].map(([, room, charter]) => [
  `${room}/README.md`,
  `<!-- Written by docs/rooms.ts; change docs/architecture.md, not this file. -->
# ${room}

${charter![0]!.toUpperCase()}${charter!.slice(1)}.

[Architecture](../../docs/architecture.md) shows the other rooms, and the rows that this one may import.
`,
])

process.exitCode = writeOrCheck({
  folder: join(import.meta.dirname, '../src'),
  files: Object.fromEntries(readmes),
  generator: 'docs/rooms.ts',
})
