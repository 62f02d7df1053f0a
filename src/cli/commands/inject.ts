// `sidegate inject`: its words, the file or pipe that it reads, stdout for manifests and stderr for what was changed.

import { readFileSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import { ConfigError } from '../../core/errors.ts'
import { inject, type InjectOptions } from '../../inject/inject.ts'
import { DEFAULT_PORT } from '../../inject/sidecar.ts'
import { OK } from '../exit-codes.ts'
import { parse, safe, UsageError } from './usage.ts'

/** Rejects with a ConfigError for a manifest that cannot be used. `version` is that of the image it names by default. */
export async function injectCommand(args: string[], version: string): Promise<number> {
  const { file, options } = readWords(args, version)
  const { text, notes } = inject(await readInput(file, options.fileName), options)
  process.stdout.write(text)
  for (const note of notes) process.stderr.write(`${safe(note)}\n`)
  return OK
}

function readWords(args: string[], version: string): { file: string; options: InjectOptions } {
  const text = { type: 'string' } as const
  const options = { file: { ...text, short: 'f', default: '-' }, port: text, image: text, protocol: text, container: text, only: text, 'config-map': text } as const
  const { file, port, image, protocol = 'http', container = null, only = null, 'config-map': configMap = null } = parse({ args, options }).values
  if (protocol !== 'http' && protocol !== 'tcp') throw new UsageError(`--protocol is http or tcp, not ${JSON.stringify(protocol)}`)
  const fileName = file === '-' ? 'stdin' : file
  return { file, options: { image: image ?? `ghcr.io/sidegate/sidegate:${version}`, protocol, container, only, configMap, fileName, ...readPorts(port) } }
}

/** `8080:17080`, or `8080` alone. */
function readPorts(words: string | undefined): { appPort: number | null; port: number } {
  if (words === undefined) return { appPort: null, port: DEFAULT_PORT }
  const match = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(words)
  const [appPort, port] = [Number(match?.[1]), Number(match?.[2] ?? DEFAULT_PORT)]
  const isPort = (number: number): boolean => number >= 1 && number <= 65_535
  if (!isPort(appPort) || !isPort(port)) throw new UsageError(`--port is the application's port and the gate's, such as 8080:17080, not ${JSON.stringify(words)}`)
  return { appPort, port }
}

async function readInput(file: string, fileName: string): Promise<string> {
  if (file === '-' && process.stdin.isTTY) throw new UsageError('inject needs a manifest: sidegate inject -f deploy.yaml, or one by a pipe')
  try {
    return file === '-' ? await readAll(process.stdin) : readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new ConfigError(fileName, [{ line: 0, column: 0, path: '', message: code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}` }])
  }
}
