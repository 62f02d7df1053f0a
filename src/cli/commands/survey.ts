// `sidegate survey ADDRESS`: how a service without a gate behaves, and a configuration that fits.

import { parseAddress } from '../../config/address.ts'
import type { Address } from '../../config/address.ts'
import { parseDuration, parseSize } from '../../config/units.ts'
import { OK, REFUSED } from '../../core/exit-codes.ts'
import type { SurveyOptions } from '../survey/findings.ts'
import { fittingConfig, survey } from '../survey/survey.ts'
import { parse, printJson, printLine, safe, UsageError } from './usage.ts'

const LONGEST_MS = 3_600_000
const MAX_MESSAGE = 64 * 1024 * 1024

export async function surveyCommand(args: string[]): Promise<number> {
  const { address, options, isJson } = read(args)
  const found = await survey(address, options)
  if (typeof found === 'string') {
    process.stderr.write(`sidegate: ${safe(found)}\n`)
    return REFUSED
  }
  const config = fittingConfig(address, found)
  if (isJson) return printJson({ ...found, config })
  for (const { question, answer } of found.findings) printLine(`# ${question}: ${answer}`)
  printLine('')
  for (const line of config.trimEnd().split('\n')) printLine(line)
  return OK
}

function read(args: string[]): { address: Address; options: SurveyOptions; isJson: boolean } {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      path: { type: 'string', default: '/' },
      host: { type: 'string' },
      for: { type: 'string', default: '30s' },
      messages: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  })
  const [text, ...others] = positionals
  if (text === undefined || others.length > 0)
    throw new UsageError('survey takes one address: sidegate survey 127.0.0.1:8080')
  const address = parseAddress(text, 'dial')
  if ('problem' in address) throw new UsageError(address.problem)
  if (!/^\/[\x21-\x7e]*$/.test(values.path)) throw new UsageError('--path must be a path, such as /chat')
  const host = values.host ?? (address.value.kind === 'tcp' ? text : 'localhost')
  if (!/^[\x21-\x7e]+$/.test(host)) throw new UsageError('--host must be a name or an address')
  const options = {
    path: values.path,
    host,
    forMs: number(parseDuration(values.for, { min: 100, max: LONGEST_MS, isOffAllowed: false }), '--for'),
    messageBytes:
      values.messages === undefined
        ? 0
        : number(
            parseSize(values.messages, { min: 1024, max: MAX_MESSAGE, isOffAllowed: false }),
            '--messages',
          ),
  }
  return { address: address.value, options, isJson: values.json }
}

function number(parsed: { value: number } | { problem: string }, option: string): number {
  if ('problem' in parsed) throw new UsageError(`${option}: ${parsed.problem}`)
  return parsed.value
}
