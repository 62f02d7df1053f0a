// The manual of the command line, in one place: `sidegate help`, the help of each command and the completions
// of shells are made from it. The options that a command takes are in its own file; a test compares the two.

import { reasonNames } from '../core/close.ts'

export interface Option {
  name: string
  short?: string
  /** The name of its value; none for a flag. */
  value?: string
  words: string
  /** All possible values, where there is a list. */
  choices?: readonly string[]
}

export interface Page {
  name: string
  /** The words after the name: `-c FILE`. */
  synopsis: string
  summary: string
  isForGates: boolean
  options: readonly Option[]
  /** The words that may follow the name, where there is a list; `FILE` for any file. */
  words?: readonly string[]
  examples: ReadonlyArray<readonly [command: string, meaning: string]>
}

const json: Option = { name: 'json', words: 'print the answer as JSON' }
const configFile: Option = { name: 'config', short: 'c', value: 'FILE', words: 'a configuration file' }
const admin: readonly Option[] = [
  {
    name: 'admin',
    value: 'ADDRESS',
    words: 'where the admin server is: 127.0.0.1:17020 by default, unix:/path',
  },
  { name: 'token-file', value: 'FILE', words: 'the token of admin.tokenFile' },
  { ...configFile, words: 'take the address and the token file from this configuration' },
]
const asking = [...admin, json]
const text = (name: string, value: string, words: string, choices?: readonly string[]): Option => ({
  name,
  value,
  words,
  ...(choices === undefined ? {} : { choices }),
})
const filters: readonly Option[] = [
  text('listener', 'NAME', 'of this listener'),
  text('protocol', 'PROTOCOL', 'tcp, http, websocket or h2', ['tcp', 'http', 'websocket', 'h2']),
  text('phase', 'PHASE', 'how far they have come', ['admit', 'handshake', 'connect', 'relay', 'close']),
  text('state', 'STATE', 'what they are at: stalled are those of whom a peer takes nothing', [
    'waiting',
    'open',
    'idle',
    'busy',
    'lingering',
    'closing',
    'stalled',
  ]),
  text('client', 'ADDRESS', 'of this client, with its port or without, or of this network'),
  text('peer', 'ADDRESS', 'brought by this address or network, such as that of an ingress'),
  text('upstream', 'ADDRESS', 'to this address, with its port or without'),
  text('sort', 'ORDER', 'age (oldest first), idle, buffered or rate', ['age', 'idle', 'buffered', 'rate']),
  text('limit', 'N', 'so many at the most, 1 to 10000'),
]

const here = (page: Omit<Page, 'isForGates'>): Page => ({ ...page, isForGates: false })
const asks = (page: Omit<Page, 'isForGates'>): Page => ({ ...page, isForGates: true })

const manifests: readonly Option[] = [
  { name: 'file', short: 'f', value: 'FILE', words: 'the manifest; - or nothing is a pipe' },
]

export const pages: readonly Page[] = [
  here({
    name: 'run',
    synopsis: '-c FILE',
    summary: 'run the gate with the configuration in FILE',
    options: [configFile],
    examples: [['sidegate run -c sidegate.yaml', 'until SIGTERM, which drains it']],
  }),
  here({
    name: 'check',
    synopsis: 'FILE',
    summary: 'check a configuration: every error, then what is risky',
    options: [
      { ...configFile, words: 'the file, as for run' },
      json,
      text('patch', 'FILE', 'as this patch would make it, such as one of sidegate advise --yaml'),
      { name: 'print', words: 'with a patch: print what comes of it, comments and all' },
    ],
    words: ['FILE'],
    examples: [
      ['sidegate check sidegate.yaml', 'exit code 78 if it cannot be used'],
      ['sidegate check sidegate.yaml --patch advice.yaml --print > new.yaml', ''],
    ],
  }),
  here({
    name: 'survey',
    synopsis: 'ADDRESS',
    summary: 'look at a service as a client would, and print a configuration that fits',
    options: [
      text('path', 'PATH', 'the only one that is asked for, / by default'),
      text('host', 'NAME', 'the Host of its requests, the address by default'),
      text('for', 'DURATION', 'so long it may leave alone what is silent, 30s by default'),
      text('messages', 'SIZE', 'send messages of growing size up to this; without it none is sent'),
      json,
    ],
    examples: [
      ['sidegate survey 127.0.0.1:8080', ''],
      [
        'sidegate survey 127.0.0.1:8080 --path /chat --for 90s --messages 1MiB',
        'also how large a message may be',
      ],
    ],
  }),
  here({
    name: 'explain',
    synopsis: '[REASON]',
    summary: 'what a close reason means; all of them without REASON',
    options: [],
    words: reasonNames,
    examples: [['sidegate explain write_timeout', 'meaning, likely causes, the key that governs it']],
  }),
  here({
    name: 'schema',
    synopsis: '',
    summary: 'print the JSON Schema of the configuration file',
    options: [],
    examples: [['sidegate schema > sidegate.schema.json', 'for an editor that completes YAML']],
  }),
  here({
    name: 'inject',
    synopsis: '[-f FILE]',
    summary: 'add the sidecar to a Kubernetes manifest: the result on stdout, what changed on stderr',
    options: [
      ...manifests,
      text('port', 'APP[:GATE][/http|tcp|h2c]', "the application's port and the gate's; as often as needed"),
      text(
        'take-port',
        'PORT:MOVED',
        'the gate takes the port over, the application moves; as often as needed',
      ),
      text('container', 'NAME', 'the application, where there are several containers'),
      text('only', 'WORKLOAD', 'leave the others of the file alone'),
      text('protocol', 'PROTOCOL', 'of every port: http, tcp or h2c (HTTP/2 in the clear, gRPC)', [
        'http',
        'tcp',
        'h2c',
      ]),
      text('upstream', 'WAY', 'how the gate reaches the application: loopback or pod-ip', [
        'loopback',
        'pod-ip',
      ]),
      text('config-map', 'NAME', 'use this ConfigMap, and write none'),
      text('image', 'IMAGE', 'yours, from your registry'),
      text('cpu', 'QUANTITY', 'that the sidecar asks for, such as 100m'),
      text('memory', 'QUANTITY', 'its limit, such as 256Mi'),
      { name: 'strict', words: 'with a remark: exit code 2, and nothing on stdout' },
      text('accept', 'CODE', 'a remark that is known and meant; as often as needed'),
    ],
    examples: [
      [
        'sidegate inject -f deploy.yaml --image IMAGE | kubectl apply -f -',
        'in front of what is in the file',
      ],
      ['sidegate inject -f deploy.yaml --port 8080:17080 --strict', 'for a pipeline: nothing half decided'],
    ],
  }),
  here({
    name: 'uninject',
    synopsis: '[-f FILE]',
    summary: 'take it out again, byte for byte',
    options: manifests,
    examples: [['sidegate uninject -f deploy.yaml', 'as it was before']],
  }),
  here({
    name: 'demo',
    synopsis: '',
    summary: 'a legacy service, a gate before it, and clients good and bad',
    options: [{ name: 'keep', words: 'stay up afterwards, and say what to try' }],
    examples: [['sidegate demo --keep', '']],
  }),
  here({
    name: 'completion',
    synopsis: 'bash|zsh|fish',
    summary: 'print what completes these words in a shell',
    options: [],
    words: ['bash', 'zsh', 'fish'],
    examples: [
      ['source <(sidegate completion bash)', 'in ~/.bashrc'],
      ['sidegate completion zsh > "${fpath[1]}/_sidegate"', 'zsh, then a new shell'],
      ['sidegate completion fish > ~/.config/fish/completions/sidegate.fish', ''],
    ],
  }),
  asks({
    name: 'top',
    synopsis: '',
    summary: 'its connections, live; q quits. Once, where there is no terminal',
    options: [...filters, ...asking],
    examples: [
      ['sidegate top --sort buffered', 'who has the queued bytes'],
      ['sidegate top --state stalled', 'of whom a peer takes nothing'],
      ['sidegate top --admin 10.1.0.4:17020 --admin 10.1.0.5:17020', 'several gates in one table'],
    ],
  }),
  asks({
    name: 'connections',
    synopsis: '[ID]',
    summary: 'its connections, or all that is known of one',
    options: [...filters, ...asking],
    examples: [
      ['sidegate connections --client 10.0.0.7 --sort idle', ''],
      ['sidegate connections 42', 'what it waits for, and which deadline comes next'],
    ],
  }),
  asks({
    name: 'recent',
    synopsis: '',
    summary: 'what has just ended, and why',
    options: [
      text('reason', 'REASON', 'ended with this', reasonNames),
      text('listener', 'NAME', 'of this listener'),
      text('client', 'ADDRESS', 'of this client'),
      text('limit', 'N', 'so many at the most'),
      ...asking,
    ],
    examples: [['sidegate recent --reason write_timeout --limit 20', '']],
  }),
  asks({
    name: 'why',
    synopsis: 'CLIENT[:PORT]',
    summary: 'what became of the last connections of a client, in sentences',
    options: [text('limit', 'N', 'so many of them, 3 by default'), ...asking],
    examples: [['sidegate why 10.0.0.7', '']],
  }),
  asks({
    name: 'advise',
    synopsis: '',
    summary: 'limits that are learnt from its traffic; it changes nothing',
    options: [
      text('listener', 'NAME', 'of this listener'),
      { name: 'anyway', words: 'propose from less than a day, or than 10,000 events' },
      { name: 'yaml', words: 'print a patch for sidegate check FILE --patch' },
      { name: 'reset', words: 'forget what was seen, and begin anew' },
      ...asking,
    ],
    examples: [
      ['sidegate advise', 'what was seen, what is proposed, whom it would have touched'],
      ['sidegate advise --yaml > advice.yaml', ''],
    ],
  }),
  asks({
    name: 'info',
    synopsis: '',
    summary: 'version, state, memory, and which configuration is in force',
    options: asking,
    examples: [['sidegate info', '']],
  }),
  asks({
    name: 'listeners',
    synopsis: '',
    summary: 'its listeners and their connections',
    options: asking,
    examples: [['sidegate listeners', '']],
  }),
  asks({
    name: 'upstreams',
    synopsis: '',
    summary: 'each upstream address: state, last check, last failed dial',
    options: asking,
    examples: [['sidegate upstreams', '']],
  }),
  asks({
    name: 'config',
    synopsis: '[--error]',
    summary: 'the configuration in force; why the last reload was refused',
    options: [{ name: 'error', words: 'why the last reload was refused; exit code 1 if it was' }, ...asking],
    examples: [['sidegate config --error', 'every problem with its line']],
  }),
  asks({
    name: 'kill',
    synopsis: 'ID',
    summary: 'end a connection',
    options: asking,
    examples: [['sidegate kill 42', 'with the reason killed']],
  }),
  asks({
    name: 'drain',
    synopsis: '[--wait | --undo]',
    summary: 'let its connections go, or let them stay after all',
    options: [
      { name: 'wait', words: 'return when the drain is finished' },
      { name: 'undo', words: 'take it back, while it still accepts' },
      ...asking,
    ],
    examples: [['sidegate drain --wait', '']],
  }),
  asks({
    name: 'reload',
    synopsis: '',
    summary: 'have it read its configuration again',
    options: asking,
    examples: [['sidegate reload', 'exit code 1, and every problem, if nothing was changed']],
  }),
  asks({
    name: 'log',
    synopsis: '[LEVEL] [--for 5m]',
    summary: 'its log level; change it, for a while or for good',
    options: [text('for', 'TIME', 'then it goes back, 1s to 24h'), ...asking],
    words: ['error', 'warn', 'info', 'debug'],
    examples: [['sidegate log debug --for 5m', '']],
  }),
  asks({
    name: 'profile',
    synopsis: 'cpu|heap|snapshot [-o FILE]',
    summary: "a file that Chrome's DevTools open",
    options: [
      text('seconds', 'N', 'how long, 1 to 60'),
      { name: 'output', short: 'o', value: 'FILE', words: 'where to; - is stdout' },
      { name: 'force', words: 'take a snapshot though memory is short' },
      {
        name: 'worker',
        value: 'N',
        words: 'of that worker, from 0 (workers above 1); else of the main thread',
      },
      ...admin,
    ],
    words: ['cpu', 'heap', 'snapshot'],
    examples: [['sidegate profile cpu --seconds 10 -o - > gate.cpuprofile', 'out of a pod, by kubectl exec']],
  }),
  asks({
    name: 'health',
    synopsis: '',
    summary: 'whether it is ready, as an exit code',
    options: [
      text('health', 'ADDRESS', 'where the health server is: 127.0.0.1:17021 by default'),
      { ...admin[0]!, words: 'ask the admin server there where the health server is' },
      ...admin.slice(1),
      json,
    ],
    examples: [['sidegate health -c /etc/sidegate/sidegate.yaml', 'for the health check of a compose file']],
  }),
]
