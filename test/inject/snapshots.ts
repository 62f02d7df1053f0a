// Typical manifests, with the result of inject for each and its remarks: `manifests/NAME/in.yaml`, `out.yaml`
// and `said.txt`. `node test/inject/snapshots.ts` writes them anew; read them line by line before you commit
// them.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { injectText } from '../../src/cli/commands/inject.ts'

export const folder = join(import.meta.dirname, 'manifests')
export const names = readdirSync(folder).sort()

/** Beside the defaults, and beside an image that no release changes. */
const options: Readonly<Record<string, string[]>> = {
  shop: ['--upstream', 'pod-ip'],
  'headless-taken': ['--take-port', '1883:18083', '--port', '8083'],
  lines: ['--port', '7000:17081', '--protocol', 'tcp'],
  guaranteed: ['--cpu', '500m', '--memory', '256Mi'],
  cron: ['--only', 'replay', '--config-map', 'replay-gate'],
}

export interface Run {
  status: number | null
  stdout: string
  stderr: string
}

export const optionsOf = (name: string): string[] => ['--image', 'sidegate:test', ...(options[name] ?? [])]

/** The command in this process. */
export function injectIt(args: string[], input: string): Run {
  const { code, stdout, stderr } = injectText(args, { version: '0.0.0', input })
  return { status: code, stdout, stderr: stderr.map((line) => `${line}\n`).join('') }
}

export const read = (name: string, file: string): string => readFileSync(join(folder, name, file), 'utf8')

/** The head of `said.txt` is the command. */
export function said(name: string, { stderr }: Run): string {
  return `$ sidegate inject ${optionsOf(name).join(' ')}\n${stderr}`
}

if (import.meta.main) {
  for (const name of names) {
    const run = injectIt(optionsOf(name), read(name, 'in.yaml'))
    if (run.status !== 0) throw new Error(`${name}: ${run.stderr}`)
    writeFileSync(join(folder, name, 'out.yaml'), run.stdout)
    writeFileSync(join(folder, name, 'said.txt'), said(name, run))
  }
}
