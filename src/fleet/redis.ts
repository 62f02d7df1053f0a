// Redis or Valkey as the store of a fleet: one server, sentinels that know it, or a cluster. Only this file
// loads ioredis, which neither retries nor queues here: the circuit decides when an attempt is worth it.

import type { Socket } from 'node:net'
import type { Cluster, Redis, RedisOptions } from 'ioredis'
import { readBounded } from '../files/bounded-file.ts'
import { latePackage, nodeCrypto } from '../core/late.ts'
import { BEAT, LEASES } from './scripts.ts'
import { SentinelOrder } from './sentinel-order.ts'
import type { Sentinel } from './sentinel-order.ts'
import type { Answer, Command, Connect, Store } from './store.ts'

/** A listening address. */
export type RedisAddress = { host: string; port: number } | { path: string }

export interface RedisTarget {
  /** One address for `server`; those of sentinels, or of some nodes of a cluster. */
  kind: 'server' | 'sentinels' | 'cluster'
  addresses: readonly RedisAddress[]
  /** The name that sentinels know it by. */
  master: string
  user: string | null
  passwordFile: string | null
  /** The credentials for the sentinels, which know none of the server's. */
  sentinelUser: string | null
  sentinelPasswordFile: string | null
  database: number
  /** To the server, or to each node of the cluster; null is in the clear. */
  tls: RedisTls | null
  /** To the sentinels, independently of the server's. */
  sentinelTls: RedisTls | null
}

/** Files in PEM. */
export interface RedisTls {
  ca: string | null
  cert: string | null
  key: string | null
  serverName: string | null
}

type Client = Redis | Cluster

/** The classes as we use them: the package's types are not written for exact optional properties. */
interface Constructors {
  Redis: new (options: RedisOptions) => Redis
  Cluster: new (nodes: ReadonlyArray<{ host: string; port: number }>, options: object) => Cluster
  SentinelConnector: new (options: unknown) => SentinelConnector
}
interface SentinelConnector {
  connectToSentinel(endpoint: Sentinel, options?: RedisOptions): Redis
}
/** ioredis does not export it, nor its types. */
type ServerConnector = new (options: unknown) => { connect(...rest: unknown[]): Promise<Socket> }

/** The circuit gives up earlier. */
const CONNECT_MS = 10_000
/**
 * The longest time for a connection to a sentinel, and for each of its answers; then the next one is asked. A
 * sentinel without an answer would otherwise keep a connection for each attempt, too.
 */
const SENTINEL_MS = 3000

/** The keys of one call: Redis does nothing else meanwhile, for half a millisecond. */
const MOST_KEYS = 64
/**
 * The keys that are asked for at once. In a cluster each takes a call of its own, 20 us of CPU, and ten times
 * as much in a process that has just started.
 */
const MOST_AT_ONCE = 512
const MOST_AT_ONCE_IN_A_CLUSTER = 64

const sources = { leases: LEASES, beat: BEAT }
type Script = keyof typeof sources
const scriptOf = ({ script }: Command): Script => (script === 'beat' ? 'beat' : 'leases')
const shas = Object.fromEntries(
  Object.entries(sources).map(([name, source]) => [
    name,
    nodeCrypto().createHash('sha1').update(source).digest('hex'),
  ]),
) as Record<Script, string>

/** Reads the credential files at each call. */
export function redisConnect(target: RedisTarget): Connect {
  const order = new SentinelOrder(withPorts(target.addresses))
  return async (signal) => {
    const ioredis = latePackage('ioredis') as Constructors
    let problem: Error | null = null
    let hidden: Error | null = null
    let asked: Sentinel | null = null
    const options = await optionsOf(target)
    if (target.kind === 'sentinels') {
      options.sentinels = [...order.all]
      const onAsked = (sentinel: Sentinel): void => order.asked((asked = sentinel))
      options.Connector = tellingSentinels(ioredis, onAsked, (error) => (hidden = error))
    }
    if (target.kind === 'cluster') options.Connector = tellingNodes((error) => (hidden = error))
    // The circuit has given up meanwhile, and would never hear of the client.
    signal.throwIfAborted()
    const client = makeClient(ioredis, target, options)
    client.on('error', (error: Error) => (problem = error))
    client.on('node error', (error: Error) => (problem = error))
    signal.addEventListener('abort', () => client.disconnect())
    try {
      await client.connect()
      if ('nodes' in client) await reachAll(client)
    } catch (error) {
      client.disconnect()
      throw explained(problem ?? (error as Error), hidden)
    }
    if (target.kind === 'cluster') return new RedisStore(client, 1, MOST_AT_ONCE_IN_A_CLUSTER)
    const onAnswer = (): void => void (asked !== null && order.proved(asked))
    return new RedisStore(client, MOST_KEYS, MOST_AT_ONCE, onAnswer)
  }
}

/**
 * ioredis connects to a node when it has the first command for it, which would have to come back within the
 * time-out of one answer: with TLS to a distant node never. A cluster without one of its nodes fails here.
 */
async function reachAll(cluster: Cluster): Promise<void> {
  await Promise.all(cluster.nodes('master').map((node) => node.time()))
}

class RedisStore implements Store {
  readonly #client: Client
  readonly #keys: number
  readonly most: number
  /** Called for the first answer, and then not any more. */
  #onAnswer: () => void

  /** `keys`: those of one call. */
  constructor(client: Client, keys: number, most: number, onAnswer: () => void = () => {}) {
    this.#client = client
    this.#keys = keys
    this.most = most
    this.#onAnswer = onAnswer
  }

  async run(commands: readonly Command[]): Promise<Answer[]> {
    const calls: Command[][] = []
    for (const command of commands) {
      const last = calls.at(-1)
      if (last !== undefined && last.length < this.#keys && scriptOf(last[0]!) === scriptOf(command))
        last.push(command)
      else calls.push([command])
    }
    const asked = Promise.all(calls.map((call) => this.#call(call)))
    const answers = (await asked.catch((error: Error) => Promise.reject(plain(error)))).flat()
    this.#onAnswer()
    this.#onAnswer = () => {}
    return answers
  }

  /** Commands of one script. */
  async #call(commands: readonly Command[]): Promise<Answer[]> {
    const script = scriptOf(commands[0]!)
    const keys = commands.map(({ key }) => key)
    const args = commands.map(textOf).join(' ')
    return (await this.#ask(script, keys, args)).split(',').map((answer) => answer.split(' '))
  }

  async #ask(script: Script, keys: readonly string[], args: string): Promise<string> {
    try {
      return (await this.#client.evalsha(shas[script], keys.length, ...keys, args)) as string
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return (await this.#client.eval(sources[script], keys.length, ...keys, args)) as string
    }
  }

  close(): void {
    this.#client.disconnect()
  }
}

function textOf({ script, args }: Command): string {
  const text = args.join(' ')
  return script === 'beat' ? text : `${script} ${text}`
}

async function optionsOf(target: RedisTarget): Promise<RedisOptions> {
  const { kind, addresses, master, user, passwordFile, database, tls } = target
  const password = await passwordIn(passwordFile)
  const common: RedisOptions = {
    lazyConnect: true,
    retryStrategy: () => null,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    // Each would be one more command for an ACL to allow.
    enableReadyCheck: false,
    disableClientInfo: true,
    db: kind === 'cluster' ? 0 : database,
    ...(user === null ? {} : { username: user }),
    ...(password === null ? {} : { password }),
  }
  if (tls !== null) common.tls = await tlsOf(tls)
  if (kind === 'sentinels') {
    const sentinelPassword = await passwordIn(target.sentinelPasswordFile)
    return {
      ...common,
      ...(target.sentinelUser === null ? {} : { sentinelUsername: target.sentinelUser }),
      ...(sentinelPassword === null ? {} : { sentinelPassword }),
      ...(target.sentinelTls === null ? {} : { sentinelTLS: await tlsOf(target.sentinelTls) }),
      // Without it ioredis dials the server that sentinels name in the clear, whatever `tls` says.
      enableTLSForSentinelMode: true,
      name: master,
      sentinelRetryStrategy: () => null,
    }
  }
  return kind === 'server' ? { ...common, ...addresses[0]! } : common
}

/** Those that are no paths. */
function withPorts(addresses: readonly RedisAddress[]): Sentinel[] {
  return addresses.flatMap((one) => ('host' in one ? [one] : []))
}

/**
 * ioredis hides the errors of sentinels, and of the connections by which it asks the nodes of a cluster for
 * their slots: without these a certificate that it refused would look like a closed connection.
 */
function tellingSentinels(
  { SentinelConnector }: Constructors,
  onAsked: (sentinel: Sentinel) => void,
  onProblem: (error: Error) => void,
): NonNullable<RedisOptions['Connector']> {
  const Telling = class extends SentinelConnector {
    override connectToSentinel(endpoint: Sentinel, options?: RedisOptions): Redis {
      onAsked(endpoint)
      const patience = { connectTimeout: SENTINEL_MS, commandTimeout: SENTINEL_MS }
      return super.connectToSentinel(endpoint, { ...options, ...patience }).on('error', onProblem)
    }
  }
  return Telling as unknown as NonNullable<RedisOptions['Connector']>
}

function tellingNodes(onProblem: (error: Error) => void): NonNullable<RedisOptions['Connector']> {
  const { default: Base } = latePackage('ioredis/built/connectors/StandaloneConnector.js') as {
    default: ServerConnector
  }
  const Telling = class extends Base {
    override async connect(...rest: unknown[]): Promise<Socket> {
      const socket = await super.connect(...rest)
      return socket.on('error', onProblem)
    }
  }
  return Telling as unknown as NonNullable<RedisOptions['Connector']>
}

/**
 * An error as its log line gives it. Redis names the script that ran, so each script would be one more
 * problem; ioredis names its options where a connection has ended.
 */
function plain({ message }: Error): Error {
  return new Error(
    message.startsWith("Stream isn't writeable")
      ? 'Connection is closed.'
      : message.replace(/ script: [0-9a-f]{40}, on @user_script.*$/s, ''),
  )
}

/** `hidden`: an error that ioredis keeps to itself. */
function explained(problem: Error, hidden: Error | null): Error {
  const { message } = problem
  if (message.startsWith('All sentinels are unreachable') && hidden !== null)
    return new Error(`no sentinel can be asked: ${hidden.message}`)
  if (!message.startsWith('Failed to refresh slots cache')) return problem
  const last = hidden ?? (problem as Error & { lastNodeError?: Error | null }).lastNodeError ?? null
  return last === null ? problem : new Error(`no node of the cluster can be asked: ${last.message}`)
}

async function passwordIn(file: string | null): Promise<string | null> {
  return file === null ? null : (await readBounded(file)).toString().trim()
}

async function tlsOf({ ca, cert, key, serverName }: RedisTls) {
  const read = async (path: string | null): Promise<Buffer | null> =>
    path === null ? null : readBounded(path)
  const [caPem, certPem, keyPem] = await Promise.all([read(ca), read(cert), read(key)])
  return {
    ...(caPem === null ? {} : { ca: caPem }),
    ...(certPem === null ? {} : { cert: certPem }),
    ...(keyPem === null ? {} : { key: keyPem }),
    ...(serverName === null ? {} : { servername: serverName }),
  }
}

function makeClient(
  { Redis, Cluster }: Constructors,
  { kind, addresses }: RedisTarget,
  redisOptions: RedisOptions,
): Client {
  if (kind !== 'cluster') return new Redis(redisOptions)
  return new Cluster(withPorts(addresses), {
    redisOptions,
    lazyConnect: true,
    clusterRetryStrategy: () => null,
    // Without it ioredis sends all commands but the first to a node that it has not reached yet 100 ms later.
    enableOfflineQueue: true,
    enableReadyCheck: false,
    slotsRefreshTimeout: CONNECT_MS,
    // A certificate names hosts, and a cluster announces addresses.
    dnsLookup: (address: string, callback: (error: null, address: string) => void) => callback(null, address),
  })
}
