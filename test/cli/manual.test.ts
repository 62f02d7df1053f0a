// The manual lists exactly the options that the commands take; and shells complete them.

import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { completionFor, shells } from '../../src/cli/completion.ts'
import { advise } from '../../src/cli/commands/advise.ts'
import { check } from '../../src/cli/commands/check.ts'
import { config } from '../../src/cli/commands/config.ts'
import { connections } from '../../src/cli/commands/connections.ts'
import { drain } from '../../src/cli/commands/drain.ts'
import { health } from '../../src/cli/commands/health.ts'
import { info } from '../../src/cli/commands/info.ts'
import { injectText, uninjectCommand } from '../../src/cli/commands/inject.ts'
import { kill } from '../../src/cli/commands/kill.ts'
import { listeners } from '../../src/cli/commands/listeners.ts'
import { log } from '../../src/cli/commands/log.ts'
import { profile } from '../../src/cli/commands/profile.ts'
import { recent } from '../../src/cli/commands/recent.ts'
import { reload } from '../../src/cli/commands/reload.ts'
import { surveyCommand } from '../../src/cli/commands/survey.ts'
import { top } from '../../src/cli/commands/top.ts'
import { upstreams } from '../../src/cli/commands/upstreams.ts'
import { UnknownOption } from '../../src/cli/commands/usage.ts'
import { why } from '../../src/cli/commands/why.ts'
import { helpOf, usage } from '../../src/cli/help.ts'
import { pages } from '../../src/cli/manual.ts'
import { CLI } from '../support/command.ts'
import { needs, temporary } from '../support/tools.ts'

const commands: Record<string, (args: string[]) => unknown> = {
  advise,
  check,
  config,
  connections,
  drain,
  health,
  info,
  inject: (args) => injectText(args, { version: '1.0.0', input: '' }),
  kill,
  listeners,
  log,
  profile,
  recent,
  reload,
  survey: surveyCommand,
  top,
  uninject: uninjectCommand,
  upstreams,
  why,
}

async function optionsOf(name: string): Promise<readonly string[]> {
  try {
    await commands[name]!(['--no-such-option'])
  } catch (error) {
    if (error instanceof UnknownOption) return error.known
    throw error
  }
  throw new Error(`${name} takes anything`)
}

test('every command that talks to a gate or to a manifest has a page with all of its options', async (t) => {
  for (const name of Object.keys(commands)) {
    const page = pages.find((one) => one.name === name)
    t.same(page?.options.map((option) => option.name).sort(), [...(await optionsOf(name))].sort(), name)
  }
  const others = pages.map(({ name }) => name).filter((name) => !(name in commands))
  t.same(others, ['run', 'explain', 'schema', 'demo', 'completion'])
})

test('the others take what their pages say, too, and nothing else', async (t) => {
  for (const { name, options } of pages.filter((page) => !(page.name in commands))) {
    const words = options.flatMap((option) => [
      `--${option.name}`,
      ...(option.value === undefined ? [] : ['x']),
    ])
    const { status, stderr } = spawnSync(process.execPath, [CLI, name, ...words, '--no-such-option'], {
      encoding: 'utf8',
    })
    t.match([status, stderr], [64, /^sidegate: unknown option '--no-such-option'\n/], name)
  }
})

test('a slip in an option is answered with the one that was meant', async (t) => {
  for (const [name, word, meant] of [
    ['connections', '--limt', '--limit'],
    ['log', '--jsn', '--json'],
    ['inject', '--configmap', '--config-map'],
  ] as const)
    await t.rejects(async () => commands[name]!([word, 'x']), {
      message: `unknown option '${word}', did you mean ${meant}?`,
    })
  await t.rejects(async () => info(['--zebra']), { message: "unknown option '--zebra'" })
})

test('each command has a help of its own, with an example that begins with it', async (t) => {
  for (const page of pages) {
    const text = helpOf(page)
    t.match(text, `usage: sidegate ${page.name}`)
    t.ok(
      page.examples.length > 0 &&
        page.examples.every(([example]) => example.includes(`sidegate ${page.name}`)),
    )
    t.ok(
      text.split('\n').every((line) => line.length <= 130),
      page.name,
    )
    t.match(usage(), new RegExp(`^ {2}${page.name} `, 'm'))
  }
  const help = (...args: string[]): string =>
    execFileSync(process.execPath, [CLI, ...args], { encoding: 'utf8' })
  t.equal(help('kill', '--help'), help('help', 'kill'))
  t.match(help('help', 'kill'), /^usage: sidegate kill ID/)
  t.equal(spawnSync(process.execPath, [CLI, 'help', 'kil'], { encoding: 'utf8' }).status, 64)
})

/** What bash offers for a line whose last word is being typed. */
function offered(directory: string, ...words: string[]): string[] {
  const script = `source completion.bash
compopt() { :; }
COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}) COMP_CWORD=${words.length - 1}
_sidegate; printf '%s\\n' "\${COMPREPLY[@]}"`
  return execFileSync('bash', ['-c', script], { cwd: directory, encoding: 'utf8' }).trim().split('\n')
}

test('bash completes commands, their words, their options and the values of those', async (t) => {
  const directory = temporary(t)
  writeFileSync(join(directory, 'completion.bash'), completionFor('bash'))
  t.same(offered(directory, 'sidegate', 'con'), ['connections', 'config'])
  t.same(offered(directory, 'sidegate', 'log', 'de'), ['debug'])
  t.same(offered(directory, 'sidegate', 'drain', '--u'), ['--undo'])
  t.same(offered(directory, 'sidegate', 'top', '--sort', ''), ['age', 'idle', 'buffered', 'rate'])
  t.same(offered(directory, 'sidegate', 'explain', 'write'), ['write_timeout'])
  t.same(offered(directory, 'sidegate', 'help', 'prof'), ['profile'])
  t.same(offered(directory, 'sidegate', 'run', '-c', ''), [''], 'files are left to the shell')
})

test('fish completes, with what each means', needs('fish'), async (t) => {
  const directory = temporary(t)
  writeFileSync(join(directory, 'completion.fish'), completionFor('fish'))
  const fish = (line: string): string =>
    execFileSync('fish', ['--no-config', '-c', `source completion.fish; complete -C '${line}'`], {
      cwd: directory,
      encoding: 'utf8',
    })
  t.match(fish('sidegate conn'), /^connections\tits connections, or all that is known of one\n$/)
  t.match(fish('sidegate top --sort '), /^age\t.*\nbuffered\t/)
  t.match(fish('sidegate log '), /^debug/m)
})

test('zsh reads its script, and it tells of every command', needs('zsh'), async (t) => {
  const directory = temporary(t)
  writeFileSync(join(directory, '_sidegate'), completionFor('zsh'))
  const script = `compdef() { :; }
_describe() { print -l -- $1 \${(P)2} }
_files() { :; }
compadd() { print -l -- "$@" }
source ./_sidegate
words=(sidegate ''); CURRENT=2; _sidegate
words=(sidegate drain ''); CURRENT=3; _sidegate
words=(sidegate top --sort ''); CURRENT=4; _sidegate`
  const said = execFileSync('zsh', ['-f', '-c', script], { cwd: directory, encoding: 'utf8' }).split('\n')
  for (const { name, summary } of pages) t.ok(said.includes(`${name}:${summary}`), name)
  t.ok(said.includes('--undo:take it back, while it still accepts'))
  t.same(said.slice(-5, -1), ['age', 'idle', 'buffered', 'rate'])
})

test('completion names a shell', async (t) => {
  for (const shell of shells) t.match(completionFor(shell), 'sidegate')
  t.match(spawnSync(process.execPath, [CLI, 'completion', 'tcsh'], { encoding: 'utf8' }), {
    status: 64,
    stderr: /completion needs one of bash, zsh, fish/,
  })
})

test('the first file asks for the Node that package.json asks for, in words that old ones can read', async (t) => {
  const root = join(import.meta.dirname, '../..')
  const first = readFileSync(join(root, 'src/cli/first.mjs'), 'utf8')
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    engines: { node: string }
  }
  t.match(first, `NEEDED = ${engines.node.replace('>=', '')}\n`)
  t.notMatch(first.replaceAll(/^\/\/.*$/gm, ''), /=>|`|\?\.|\?\?|await|^import /m)
  const directory = temporary(t)
  writeFileSync(join(directory, 'cli.mjs'), first)
  writeFileSync(
    join(directory, 'old.cjs'),
    "Object.defineProperty(process.versions, 'node', { value: '18.0.0' }); Object.defineProperty(process, 'version', { value: 'v18.0.0' })",
  )
  const { status, stderr } = spawnSync(
    process.execPath,
    // A test runner may load itself into every Node, in a way that this one warns of.
    ['--no-deprecation', '--require', join(directory, 'old.cjs'), join(directory, 'cli.mjs'), 'run'],
    { encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } },
  )
  t.match([status, stderr], [69, /^sidegate: needs Node 24 or later, and this is v18\.0\.0 \(.*\)\n$/])
})
