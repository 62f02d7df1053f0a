// `sidegate inject` and `uninject`: their options, the file or pipe that they read, stdout for manifests and
// stderr for the changes and the remaining work.

import { readFileSync } from 'node:fs'
import { text as readAll } from 'node:stream/consumers'
import { IMAGE, isPlaceholder } from '../../core/image.ts'
import { ConfigError } from '../../core/errors.ts'
import { parsePort, type PortWish } from '../../inject/doors.ts'
import { inject, type InjectOptions } from '../../inject/inject.ts'
import { codes, type Code } from '../../inject/judges/judge.ts'
import { uninject } from '../../inject/undo.ts'
import { OK, STRICT } from '../../core/exit-codes.ts'
import { parse, safe, UsageError } from './usage.ts'

/** Rejects with a ConfigError for a manifest that cannot be used. `version` is that of the default image. */
export async function injectCommand(args: string[], version: string): Promise<number> {
  const { file } = readWords(args, version)
  const outcome = injectText(args, { version, input: await readInput(file, 'inject') })
  return print({ ...outcome, stderr: [...outcome.stderr, ...aboutImage(outcome)] })
}

/** Rejects with a ConfigError for a manifest that inject has not changed. */
export async function uninjectCommand(args: string[]): Promise<number> {
  const { file } = parse({ args, options: { file: { type: 'string', short: 'f', default: '-' } } }).values
  const { text: stdout, notes } = uninject(await readInput(file, 'uninject'), nameOf(file))
  return print({ code: OK, stdout, stderr: notes })
}

interface Outcome {
  code: number
  stdout: string
  /** Lines. */
  stderr: string[]
}

/** The command as a function of its options and its input; throws where `injectCommand` rejects. */
export function injectText(args: string[], { version, input }: { version: string; input: string }): Outcome {
  const { isStrict, options } = readWords(args, version)
  const { text: stdout, changes, remarks } = inject(input, options)
  const isRefused = isStrict && remarks.length > 0
  const remarked = remarks.map(
    ({ code, about, text: said }) => `${isRefused ? 'error' : 'note'}: ${about} [${code}]: ${said}`,
  )
  // The next program of a pipe gets nothing then: half a decision must not reach a cluster.
  if (isRefused) return { code: STRICT, stdout: '', stderr: remarked }
  return { code: OK, stdout, stderr: [...changes, ...remarked] }
}

/** A pod of that image waits for it for ever, with its application. */
function aboutImage({ stdout }: Outcome): string[] {
  if (!isPlaceholder || !stdout.includes(`image: ${IMAGE}:`)) return []
  return [
    `note: image ${IMAGE} is a placeholder that no registry has: name yours with --image REPOSITORY:TAG`,
  ]
}

function print({ code, stdout, stderr }: Outcome): number {
  process.stdout.write(stdout)
  for (const line of stderr) process.stderr.write(`${safe(line)}\n`)
  return code
}

const text = { type: 'string' } as const
const list = { type: 'string', multiple: true, default: [] as string[] } as const
const words = {
  file: { ...text, short: 'f', default: '-' },
  port: list,
  'take-port': list,
  image: text,
  cpu: text,
  memory: text,
  protocol: text,
  upstream: { ...text, default: 'loopback' },
  container: text,
  only: text,
  'config-map': text,
  strict: { type: 'boolean', default: false },
  accept: list,
} as const

function readWords(
  args: string[],
  version: string,
): { file: string; isStrict: boolean; options: InjectOptions } {
  const { values } = parse({ args, options: words })
  const { file, protocol = null, upstream, container = null, only = null } = values
  if (protocol !== null && protocol !== 'http' && protocol !== 'tcp' && protocol !== 'h2c')
    throw new UsageError(`--protocol is http, tcp or h2c, not ${JSON.stringify(protocol)}`)
  if (upstream !== 'loopback' && upstream !== 'pod-ip')
    throw new UsageError(`--upstream is loopback or pod-ip, not ${JSON.stringify(upstream)}`)
  return {
    file,
    isStrict: values.strict,
    options: {
      ports: values.port.map(readPort),
      taken: values['take-port'].map(readTaken),
      image: readImage(values.image),
      defaultImage: `${IMAGE}:${version}`,
      cpu: quantity('--cpu', values.cpu, /^\d+(\.\d+)?m?$/),
      memory: quantity('--memory', values.memory, /^\d+(\.\d+)?(Ki|Mi|Gi|k|M|G)?$/),
      protocol,
      upstream,
      container,
      only,
      configMap: values['config-map'] ?? null,
      accept: values.accept.flatMap((one) => one.split(',')).map(readCode),
      fileName: nameOf(file),
    },
  }
}

/** `8080`, `8080:17080`, `1883:17081/tcp`. */
function readPort(said: string): PortWish {
  const wish = parsePort(said)
  if (wish === null)
    throw new UsageError(
      `--port is the application's port and the gate's, such as 8080:17080, 1883:17081/tcp or 50051/h2c, not ${JSON.stringify(said)}`,
    )
  return wish
}

function readTaken(said: string): { port: number; moved: number } {
  const wish = parsePort(said)
  if (wish === null || wish.port === null || wish.protocol !== null)
    throw new UsageError(
      `--take-port is the port that the gate takes over and the one that the application moves to, such as 8080:18080, not ${JSON.stringify(said)}`,
    )
  return { port: wish.appPort, moved: wish.port }
}

/** A blank in it would reach the cluster, and only the kubelet refuses it. */
function readImage(said: string | undefined): string | null {
  if (said !== undefined && /\s/.test(said))
    throw new UsageError(
      `--image is a repository and a tag, such as registry.example.com/yours/sidegate:1.0.0, not ${JSON.stringify(said)}`,
    )
  return said ?? null
}

function quantity(option: string, said: string | undefined, form: RegExp): string | null {
  if (said === undefined) return null
  if (!form.test(said))
    throw new UsageError(
      `${option} is a quantity of Kubernetes, such as ${option === '--cpu' ? '500m' : '256Mi'}, not ${JSON.stringify(said)}`,
    )
  return said
}

function readCode(said: string): Code {
  const code = codes.find((one) => one === said)
  if (code === undefined)
    throw new UsageError(`--accept is one of ${codes.join(', ')}, not ${JSON.stringify(said)}`)
  return code
}

const nameOf = (file: string): string => (file === '-' ? 'stdin' : file)

async function readInput(file: string, command: string): Promise<string> {
  if (file === '-' && process.stdin.isTTY)
    throw new UsageError(`${command} needs a manifest: sidegate ${command} -f deploy.yaml, or one by a pipe`)
  try {
    return file === '-' ? await readAll(process.stdin) : readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error)
    const message = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`
    throw new ConfigError(nameOf(file), [{ line: 0, column: 0, path: '', message }])
  }
}
