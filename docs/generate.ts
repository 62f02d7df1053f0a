// The generator of pages whose text is in the source: docs/configuration.md and docs/sidegate.schema.json from the schema of the
// configuration, docs/close-reasons.md from the table of reasons. `--check` writes nothing and exits 1 where a file is
// out of date. Run as `node docs/generate.ts`.

import { reasonNames } from '../src/core/close.ts'
import type { Explanation } from '../src/config/explain.ts'
import { explain } from '../src/config/explain.ts'
import { jsonSchema } from '../src/config/json-schema.ts'
import type { Group, Row } from '../src/config/rows.ts'
import { reloadEffect } from '../src/config/reload-effect.ts'
import { defaultText, groups } from '../src/config/rows.ts'
import { writeOrCheck } from './generated.ts'

const notice = '<!-- Written by docs/generate.ts; change the source, not this file. -->\n'

/** Every file, by its name beside this one. */
function documents(): Record<string, string> {
  return {
    'configuration.md': configuration(),
    'close-reasons.md': closeReasons(),
    'sidegate.schema.json': `${JSON.stringify(jsonSchema(), null, 2)}\n`,
  }
}

const smallest = `listeners:
  - address: ":17080"
    protocol: http
    upstream: 127.0.0.1:8080
`

function configuration(): string {
  return `${notice}
# Configuration

Sidegate reads one YAML file. The smallest useful one:

\`\`\`yaml
${smallest}\`\`\`

\`sidegate check FILE\` reports every problem of a file at once, each with its line and its remedy, warns of risky values, and notes
the one thing that only you can know: whether an \`http\` listener has a proxy in front of it (\`http.trustForwarded\`). For
completion in an editor, put this line at the top of the file (or print the schema with \`sidegate schema\`):

\`\`\`yaml
# yaml-language-server: $schema=sidegate.schema.json
\`\`\`

## How values are written

- **Durations** are a number and a unit: \`250ms\`, \`30s\`, \`5m\`, \`1h\`, \`2d\`; from 1ms to 24d.
- **Sizes** are a number and a unit: \`512B\`, \`64KiB\`, \`1MiB\`, \`1GiB\`.
- **Percentages** end in \`%\`: \`10%\`.
- **\`off\`** disables. \`0\` is an error for a duration or a limit, because it means "at once" to one reader and "never" to another.
- **Addresses** are \`host:port\`, \`:port\` (all interfaces, IPv4 and IPv6), \`[::1]:port\` or \`unix:/path\`.
- **\`\${NAME}\`** in a value stands for that environment variable; an unset variable is an error. Write \`$\${\` for a
  literal \`\${\`. In quotes the result is text; without quotes \`\${MAX}\` can be a number.
- Unknown keys, keys written twice, empty values and YAML merge keys (\`<<\`) are errors. Anchors and aliases work.

## What a reload changes

The column *reload* says for which connections a new value holds. *live*: also for open ones. *new*: for connections, drains and checks that
begin from then on. *restart*: for none until the process restarts; \`sidegate reload\`, the log and \`POST /reload\` name such keys
(\`restartRequired\`). Sidegate reads the files that keys name (certificates, tokens) again when they change, whatever the column says.

## Keys

${groups().map(groupText).join('\n')}
## Everything, with defaults

\`\`\`yaml
${example()}\`\`\`
`
}

function groupText(group: Group): string {
  const title = group.path === '' ? 'Top level' : `\`${group.path}\`${group.isOptional ? ' (optional)' : ''}`
  const table = [
    '| key | value | default | reload | meaning |',
    '|---|---|---|---|---|',
    ...group.rows.map(
      (row) =>
        `| \`${nameOf(row)}\` | ${row.meta.type.replaceAll('|', '\\|')} | ${defaultCell(row)} | ${reloadEffect(row.path)} | ${meaningCell(row)} |`,
    ),
  ]
  return `### ${title}\n\n${group.meaning}\n\n${table.join('\n')}\n`
}

function nameOf(row: Row): string {
  return row.path.slice(row.path.lastIndexOf('.') + 1)
}

function defaultCell({ meta }: Row): string {
  const text = defaultText(meta)
  if (text === null) return '**required**'
  return meta.derived === undefined ? `\`${text}\`` : text
}

function meaningCell({ meta }: Row): string {
  const text =
    meta.innocent === undefined ? meta.meaning : `${meta.meaning} *Spares:* ${lowerFirst(meta.innocent)}`
  return text.replaceAll('|', '\\|')
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}

/** The values of keys that have no default of their own. */
const exampleValues: Readonly<Record<string, string>> = {
  'listeners[].deadlines.write': '30s',
  'listeners[].name': 'app',
  'listeners[].address': '":17080"',
  'listeners[].protocol': 'http',
  'listeners[].upstream.addresses': '["127.0.0.1:8080"]',
  'listeners[].upstream.retryFor': '5s',
  'listeners[].upstream.healthCheck.host': 'app.example',
  'listeners[].upstream.healthCheck.headers': '{}',
  'listeners[].websocket.compression': 'pass',
  'listeners[].buffers.low': '32KiB',
  'listeners[].websocket.ping.timeout': '20s',
  'listeners[].websocket.messageTimeout': 'off',
  'listeners[].websocket.ping.to': 'client',
  'listeners[].websocket.maxMessageToClient': 'off',
  'listeners[].limits.connections': '10000',
  'listeners[].limits.newConnections.mode': 'enforce',
  'listeners[].limits.bytes.mode': 'enforce',
  'listeners[].limits.minRate.mode': 'enforce',
  'listeners[].limits.messages.mode': 'enforce',
}

/** A default that no value has: a file that writes one means another thing. The example has it as a comment. */
const unwritten: Readonly<Record<string, string>> = { 'listeners[].deadlines.upstreamIdle': '60s' }

function example(): string {
  const lines: string[] = []
  let open: string[] = []
  const paths = new Set(groups().map(({ path }) => path))
  for (const { path, rows: all } of groups().filter((group) => !group.isOptional)) {
    // A key that can also be a map is written as one.
    const rows = all.filter((row) => !paths.has(row.path))
    const steps = path === '' ? [] : path.split('.')
    for (const [depth, step] of steps.entries()) {
      if (open[depth] !== step) lines.push(`${indent(steps.slice(0, depth))}${step.replace('[]', '')}:`)
    }
    open = steps
    for (const [index, row] of rows.entries())
      lines.push(exampleLine(row, steps, index === 0 && path.endsWith('[]')))
  }
  return `${lines.join('\n')}\n`
}

/** A list takes one level for itself and one for its dash. */
function indent(steps: readonly string[]): string {
  return steps.map((step) => (step.endsWith('[]') ? '    ' : '  ')).join('')
}

function exampleLine(row: Row, steps: readonly string[], isFirst: boolean): string {
  const space = indent(steps)
  const comment = unwritten[row.path]
  if (comment !== undefined)
    return `${`${space}# ${nameOf(row)}: ${comment}`.padEnd(38)} # not written: ${defaultText(row.meta)}`
  const text = exampleValues[row.path] ?? defaultText(row.meta) ?? ''
  const value = /^(:|\[.*\]:)\d/.test(text) ? `"${text}"` : text
  const written = `${isFirst ? `${space.slice(2)}- ` : space}${nameOf(row)}: ${value}`
  return `${written.padEnd(38)} # ${firstSentence(row.meta.meaning)}`
}

function firstSentence(text: string): string {
  const [first = ''] = text.replaceAll('`', '').split(/(?<=\.) |: |; /)
  return lowerFirst(first.replace(/\.$/, ''))
}

function closeReasons(): string {
  const explanations = reasonNames.map(explain)
  return `${notice}
# Close reasons

A connection ends once, with one reason: the first cause, never a consequence. The same word is in the log line
(\`close=write_timeout side=client phase=relay\`), in the metric \`sidegate_connections_closed_total{reason="write_timeout"}\`,
in the WebSocket Close frame that the client gets, and in \`sidegate explain write_timeout\`.

- **side** is the party that caused the end: \`client\`, \`upstream\`, or \`sidegate\` itself.
- **phase** is the phase of the connection at its end: \`admit\`, \`handshake\`, \`connect\`, \`relay\`, \`close\`.
- **manner** is how the sockets end. *flush* sends queued bytes while the peer takes them (\`deadlines.close\` is the time without progress, and \`deadlines.write\` for what a peer said before its own end), then
  FIN. *deliver* sends them within \`deadlines.write\`, then RST. *drop* sends FIN and forgets them. *reset* sends RST, the only way to free the
  memory that the kernel holds for a stalled peer. Drop and reset are for the peer at fault; the other peer first gets the bytes accepted for it.

| reason | manner | HTTP | WebSocket |
|---|---|---|---|
${explanations.map(reasonLine).join('\n')}

${explanations.map(reasonText).join('\n')}`
}

function reasonLine({ reason, manner, http, websocket }: Explanation): string {
  return `| [\`${reason}\`](#${reason}) | ${manner.split(':')[0]} | ${http} | ${websocket} |`
}

function reasonText({
  reason,
  when,
  causes,
  manner,
  http,
  websocket,
  http2,
  keys,
  metric,
}: Explanation): string {
  const facts = [
    `- Manner: ${manner}`,
    ...(http === '-' ? [] : [`- HTTP status: ${http}`]),
    ...(websocket === '-' ? [] : [`- WebSocket close code: ${websocket}`]),
    `- HTTP/2 codes: ${http2}`,
    ...keys.map(keyLine),
    `- Metric: \`${metric}\``,
  ]
  return `## ${reason}\n\n${when}\n\n*Likely causes:* ${lowerFirst(causes)}\n\n${facts.join('\n')}\n`
}

function keyLine({ name, default: value }: Explanation['keys'][number]): string {
  if (value === null) return `- Key: \`${name}\` (not supported yet)`
  return value === '' ? `- Key: \`${name}\`` : `- Key: \`${name}\` (default: ${value})`
}

process.exitCode = writeOrCheck({
  folder: import.meta.dirname,
  files: documents(),
  generator: 'docs/generate.ts',
})
