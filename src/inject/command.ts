// The command `inject`: its words, the file or pipe that it reads, stdout for manifests and stderr for what was changed.

import { readFileSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import { parseArgs } from 'node:util'
import { ConfigError } from '../errors.ts'
import { inject, type InjectOptions } from './inject.ts'
import { DEFAULT_PORT } from './sidecar.ts'

const OK = 0
const USAGE = 64

class WrongWords extends Error {}

/** Resolves with the exit code; rejects with a ConfigError for a manifest that cannot be used. */
export async function injectCommand(args: string[], version: string): Promise<number> {
  try {
    const { file, options } = readWords(args, version)
    const { text, notes } = inject(await readInput(file, options.fileName), options)
    process.stdout.write(text)
    for (const note of notes) process.stderr.write(`${note}\n`)
    return OK
  } catch (error) {
    if (!(error instanceof WrongWords)) throw error
    process.stderr.write(`sidegate: ${error.message}\ntry: sidegate help\n`)
    return USAGE
  }
}

function readWords(args: string[], version: string): { file: string; options: InjectOptions } {
  const { file = '-', port, image, protocol = 'http', container = null, only = null, 'config-map': configMap = null } = parse(args)
  if (protocol !== 'http' && protocol !== 'tcp') throw new WrongWords(`--protocol is http or tcp, not ${JSON.stringify(protocol)}`)
  const options = { image: image ?? `ghcr.io/sidegate/sidegate:${version}`, protocol, container, only, configMap, ...readPorts(port) } as const
  return { file, options: { ...options, fileName: file === '-' ? 'stdin' : file } }
}

function parse(args: string[]): Partial<Record<'file' | 'port' | 'image' | 'protocol' | 'container' | 'only' | 'config-map', string>> {
  const text = { type: 'string' } as const
  const options = { file: { ...text, short: 'f' }, port: text, image: text, protocol: text, container: text, only: text, 'config-map': text } as const
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new WrongWords(error instanceof Error ? (error.message.split('. ')[0] ?? '').replace(/^./, (first) => first.toLowerCase()) : String(error))
  }
}

/** `8080:17080`, or `8080` alone. */
function readPorts(words: string | undefined): { appPort: number | null; port: number } {
  if (words === undefined) return { appPort: null, port: DEFAULT_PORT }
  const match = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(words)
  const [appPort, port] = [Number(match?.[1]), Number(match?.[2] ?? DEFAULT_PORT)]
  const isPort = (number: number): boolean => number >= 1 && number <= 65_535
  if (!isPort(appPort) || !isPort(port)) throw new WrongWords(`--port is the application's port and the gate's, such as 8080:17080, not ${JSON.stringify(words)}`)
  return { appPort, port }
}

async function readInput(file: string, fileName: string): Promise<string> {
  if (file === '-' && process.stdin.isTTY) throw new WrongWords('inject needs a manifest: sidegate inject -f deploy.yaml, or one by a pipe')
  try {
    return file === '-' ? await readAll(process.stdin) : readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    throw new ConfigError(fileName, [{ line: 0, column: 0, path: '', message: code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}` }])
  }
}
