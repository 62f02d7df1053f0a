// The demo's layout: plain text, at most 100 columns; colours only on a terminal whose user wants them.

const widths = { does: 38, reason: 19, side: 9 } as const
const COLUMNS = 100

const isColoured = process.stdout.isTTY && (process.env['NO_COLOR'] ?? '') === ''

function coloured(code: number, text: string): string {
  return isColoured ? `\u001b[${code}m${text}\u001b[0m` : text
}

export const good = (text: string): string => coloured(32, text)
export const bad = (text: string): string => coloured(31, text)
export const faint = (text: string): string => coloured(2, text)
export const strong = (text: string): string => coloured(1, text)

export function say(line = ''): void {
  process.stdout.write(`${line}\n`)
}

export function tableHead(title: string): string {
  return strong(
    `    ${title.padEnd(widths.does + 4)}${'REASON'.padEnd(widths.reason)}${'SIDE'.padEnd(widths.side)}THE CLIENT SAW`,
  )
}

export interface RowText {
  protocol: string
  does: string
  reason: string
  side: string
  saw: string
}

export function tableRow({ protocol, does, reason, side, saw }: RowText, isExpected: boolean): string {
  const text = `${protocol.padEnd(4)}${does.padEnd(widths.does)}${reason.padEnd(widths.reason)}${side.padEnd(widths.side)}${saw}`
  return isExpected ? `${good('ok')}  ${text}` : `${bad('!!')}  ${bad(text)}`
}

/** `name  word 1, word 2`, its continuation indented. */
export function wrapped(name: string, words: readonly string[]): string {
  const indent = 37
  const lines: string[] = []
  let line = ''
  for (const word of words) {
    if (line !== '' && indent + line.length + 2 + word.length > COLUMNS - 1) {
      lines.push(`${line},`)
      line = word
    } else {
      line = line === '' ? word : `${line}, ${word}`
    }
  }
  lines.push(line)
  return lines
    .map((text, index) => (index === 0 ? `    ${name}`.padEnd(indent) : ' '.repeat(indent)) + text)
    .join('\n')
}
