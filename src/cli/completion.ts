// The manual as completion scripts of shells: made here, evaluated there, so that none of our code runs at
// each Tab.

import type { Option, Page } from './manual.ts'
import { pages } from './manual.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

export function completionFor(shell: Shell): string {
  return { bash, zsh, fish }[shell]()
}

const names = [...pages.map(({ name }) => name), 'help']
const listOf = ({
  name,
  words = [],
}: Page | { name: string; words?: readonly string[] }): readonly string[] =>
  name === 'help' ? pages.map((page) => page.name) : words.filter((word) => word !== 'FILE')
const isFile = ({ value }: Option): boolean => value === 'FILE'
const flagsOf = ({ name, short }: Option): string[] => [
  `--${name}`,
  ...(short === undefined ? [] : [`-${short}`]),
]
/** One for each existing option, whatever the command. */
const withValues = [
  ...new Map(
    pages.flatMap(({ options }) =>
      options.filter(({ value }) => value !== undefined).map((option) => [option.name, option] as const),
    ),
  ).values(),
]

function bash(): string {
  const open = withValues.filter(({ choices }) => choices === undefined)
  const values = [
    `    ${open.filter(isFile).flatMap(flagsOf).join('|')}) return ;;`,
    `    ${open
      .filter((option) => !isFile(option))
      .flatMap(flagsOf)
      .join('|')}) compopt +o default; return ;;`,
    ...withValues.flatMap((option) =>
      option.choices === undefined
        ? []
        : [
            `    ${flagsOf(option).join('|')}) COMPREPLY=($(compgen -W '${option.choices.join(' ')}' -- "$cur")); return ;;`,
          ],
    ),
  ]
  const perCommand = pages.map((page) => {
    const found = [...listOf(page), ...page.options.flatMap(flagsOf), '--help']
    return `    ${page.name}) words='${found.join(' ')}' ;;`
  })
  return `# Completes sidegate in bash: source <(sidegate completion bash)
_sidegate() {
  local cur=\${COMP_WORDS[COMP_CWORD]} words='${names.join(' ')} --help --version'
  if [ "$COMP_CWORD" -gt 1 ]; then
    case \${COMP_WORDS[COMP_CWORD-1]} in
${values.join('\n')}
    esac
    words=
    case \${COMP_WORDS[1]} in
${perCommand.join('\n')}
    help) words='${names.join(' ')}' ;;
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _sidegate sidegate
`
}

/** In single quotes. */
const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

function zsh(): string {
  const entry = (name: string, words: string): string => quoted(`${name.replaceAll(':', '\\:')}:${words}`)
  const commands = pages.map(({ name, summary }) => entry(name, summary))
  const perCommand = pages.map((page) => {
    const found = [
      ...listOf(page).map((word) => entry(word, page.name)),
      ...page.options.flatMap((option) => flagsOf(option).map((flag) => entry(flag, option.words))),
    ]
    return `    (${page.name}) found=(${found.join(' ')}) ;;`
  })
  const values = withValues.flatMap((option) =>
    option.choices === undefined
      ? []
      : [`    (--${option.name}) compadd ${option.choices.join(' ')}; return ;;`],
  )
  return `#compdef sidegate
# Completes sidegate in zsh: sidegate completion zsh > "\${fpath[1]}/_sidegate"
_sidegate() {
  local -a found
  if (( CURRENT == 2 )); then
    found=(${commands.join(' ')} ${entry('help', 'all that there is to a command')})
    _describe command found
    return
  fi
  case \${words[CURRENT-1]} in
${values.join('\n')}
  esac
  case \${words[2]} in
${perCommand.join('\n')}
    (help) found=(${commands.join(' ')}) ;;
  esac
  _describe option found
  _files
}
compdef _sidegate sidegate
`
}

function fish(): string {
  const line = (condition: string, rest: string): string =>
    `complete -c sidegate -n ${quoted(condition)} ${rest}`
  const lines = pages.flatMap((page) => {
    const within = `__fish_seen_subcommand_from ${page.name}`
    return [
      line('__fish_use_subcommand', `-f -a ${page.name} -d ${quoted(page.summary)}`),
      ...(listOf(page).length === 0 ? [] : [line(within, `-f -a ${quoted(listOf(page).join(' '))}`)]),
      ...page.options.map((option) => line(within, fishOption(option))),
    ]
  })
  return `# Completes sidegate in fish: sidegate completion fish > ~/.config/fish/completions/sidegate.fish
${lines.join('\n')}
${line('__fish_use_subcommand', '-f -a help')}
${line('__fish_seen_subcommand_from help', `-f -a ${quoted(names.join(' '))}`)}
`
}

function fishOption(option: Option): string {
  const { name, short, value, words, choices } = option
  return [
    `-l ${name}`,
    ...(short === undefined ? [] : [`-s ${short}`]),
    ...(value === undefined ? [] : [isFile(option) ? '-r -F' : '-x']),
    ...(choices === undefined ? [] : [`-a ${quoted(choices.join(' '))}`]),
    `-d ${quoted(words)}`,
  ].join(' ')
}
