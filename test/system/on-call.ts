// Whoever is on call, with nothing but the page: the alert leads to its runbook, and the runbook's commands are typed as they stand there, with
// a `kubectl` that knows one pod. What it does in a cluster, it does here: exec runs in the pod, logs are what the gate has written.

import { execFile } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { plainEnv } from '../support/plain-env.ts'
import { temporary } from '../support/tools.ts'
import { build } from './program.ts'
import type { Program } from './program.ts'

const root = join(import.meta.dirname, '../..')

interface Rules {
  groups: Array<{ rules: Array<{ alert?: string; annotations?: { runbook_url: string } }> }>
}

export interface Runbook {
  text: string
  /** As the page has them. */
  commands: string[]
}

/** The runbook of an alert, at the path in the annotation of its rule. */
export function runbookOf(alert: string): Runbook {
  const { groups } = parse(readFileSync(join(root, 'deploy/monitoring/rules.yaml'), 'utf8')) as Rules
  const rule = groups.flatMap(({ rules }) => rules).find((one) => one.alert === alert)
  const [, path] = /\/blob\/main\/(.+)$/.exec(rule?.annotations?.runbook_url ?? '') ?? []
  if (path === undefined) throw new Error(`${alert} leads nowhere`)
  return pageAt(path)
}

/** A page of the documents, by its path. */
export function pageAt(path: string): Runbook {
  const text = readFileSync(join(root, path), 'utf8')
  const blocks = [...text.matchAll(/^```\n([\s\S]*?)\n```$/gm)].map(([, block = '']) => block)
  return { text, commands: blocks.flatMap((block) => block.split('\n')) }
}

export interface Typed {
  code: number
  output: string
}

export interface Shell {
  type(command: string): Promise<Typed>
  /** Runs all commands of a runbook, one after the other; their output, by the command. */
  follow(runbook: Runbook): Promise<Map<string, Typed>>
}

/** `configFile` is the file mounted into the pod. */
export async function shellBeside(t: Test, gate: Program, configFile: string): Promise<Shell> {
  const directory = temporary(t)
  const cli = await build()
  const program = (name: string, lines: string[]): void => {
    writeFileSync(join(directory, name), ['#!/bin/bash', ...lines, ''].join('\n'))
    chmodSync(join(directory, name), 0o755)
  }
  program('kubectl', [
    'verb=$1',
    'while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done',
    `case $verb in exec) shift; exec "$@" ;; logs) exec cat '${join(directory, 'log')}' ;; esac`,
  ])
  program('sidegate', [
    `args=("\${@//\\/etc\\/sidegate\\/sidegate.yaml/${configFile.replaceAll('/', '\\/')}}")`,
    'case $1 in',
    'explain | check) ;;',
    `health) args+=(--health 127.0.0.1:${gate.healthPort}) ;;`,
    `*) args+=(--admin 127.0.0.1:${gate.adminPort}) ;;`,
    'esac',
    `exec '${process.execPath}' '${cli}' "\${args[@]}"`,
  ])
  async function type(command: string): Promise<Typed> {
    writeFileSync(join(directory, 'log'), gate.lines.map((line) => `${line}\n`).join(''))
    const line = command
      .replaceAll('NAMESPACE', 'shop')
      .replaceAll('POD', 'web-1')
      .replaceAll(/--seconds \d+/g, '--seconds 1')
    const env = { ...plainEnv(), PATH: `${directory}:${process.env['PATH']}` }
    return promisify(execFile)('bash', ['-c', line], { cwd: directory, env }).then(
      ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
      ({ code, stdout, stderr }: { code: number; stdout: string; stderr: string }) => ({
        code,
        output: stdout + stderr,
      }),
    )
  }
  return {
    type,
    async follow({ commands }) {
      const typed = new Map<string, Typed>()
      for (const command of commands) typed.set(command, await type(command))
      return typed
    },
  }
}
