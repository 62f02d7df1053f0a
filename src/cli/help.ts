// The manual as text: all commands, or one in full.

import type { Option, Page } from './manual.ts'
import { pages } from './manual.ts'

const WIDTH = 22

const exitCodes = `exit codes: 0 done, 1 no gate there, or it said no, 2 inject --strict has a remark, 64 wrong usage, 69 another Node is needed,
70 internal error, 75 the machine was too slow to check the configuration, 78 wrong configuration
`

/** `sidegate help`. */
export function usage(): string {
  const lines = (isForGates: boolean): string =>
    pages
      .filter((page) => page.isForGates === isForGates)
      .map((page) => line(nameOf(page), page.summary))
      .join('')
  return `usage: sidegate <command>

${lines(false)}${line('help [COMMAND]', 'print this, or all that there is to a command')}${line('--version', 'print the version')}
ask a gate that runs:

${lines(true)}
sidegate COMMAND --help has the options and examples of each.

${exitCodes}`
}

/** `sidegate COMMAND --help`. */
export function helpOf({ name, synopsis, summary, options, words = [], examples }: Page): string {
  const parts = [
    `usage: sidegate ${nameOf({ name, synopsis })}${options.length > 0 ? ' [OPTIONS]' : ''}\n\n${summary}\n`,
  ]
  const list = words.filter((word) => word !== 'FILE')
  if (list.length > 0) parts.push(wrapped('one of', list))
  if (options.length > 0) parts.push(options.map((option) => line(flagsOf(option), wordsOf(option))).join(''))
  parts.push(
    `examples:\n${examples.map(([command, meaning]) => `  ${command}\n${meaning === '' ? '' : `      ${meaning}\n`}`).join('')}`,
  )
  return parts.join('\n')
}

const nameOf = ({ name, synopsis }: Pick<Page, 'name' | 'synopsis'>): string => `${name} ${synopsis}`.trim()

function flagsOf({ name, short, value }: Option): string {
  const flags = `${short === undefined ? '' : `-${short}, `}--${name}`
  return value === undefined ? flags : `${flags} ${value}`
}

function wordsOf({ words, choices }: Option): string {
  // A handful of choices is in the words already.
  return choices === undefined || choices.length < 10 ? words : `${words}; sidegate explain lists them`
}

function line(left: string, right: string): string {
  const start = `  ${left}`
  return start.length < WIDTH + 2
    ? `${start.padEnd(WIDTH + 2)}${right}\n`
    : `${start}\n${' '.repeat(WIDTH + 2)}${right}\n`
}

function wrapped(title: string, words: readonly string[]): string {
  const lines = [`${title}:`]
  for (const word of words) {
    if (lines.at(-1)!.length + word.length > 100) lines.push(' ')
    lines[lines.length - 1] += ` ${word}`
  }
  return `${lines.join('\n')}\n`
}
