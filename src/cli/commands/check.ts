// `sidegate check FILE`, or `-c FILE` as for `run`: every error of a configuration, then its risks; with
// `--patch`, those of the patched file.

import type { Checked } from '../../config/load.ts'
import { ConfigError, formatProblem, placed, placedError } from '../../core/errors.ts'
import { CONFIG, OK } from '../../core/exit-codes.ts'
import { parse, UsageError } from './usage.ts'

export async function check(args: string[]): Promise<number> {
  const { values, positionals } = parse({
    args,
    allowPositionals: true,
    options: {
      config: { type: 'string', short: 'c' },
      json: { type: 'boolean', default: false },
      patch: { type: 'string' },
      print: { type: 'boolean', default: false },
    },
  })
  const [file, ...others] = values.config === undefined ? positionals : [values.config, ...positionals]
  if (file === undefined || others.length > 0)
    throw new UsageError('check needs one file: sidegate check FILE')
  if (values.print && (values.patch === undefined || values.json))
    throw new UsageError('check prints a file with a patch: sidegate check FILE --patch PATCH --print')
  try {
    const { warnings, notes, text } = await checkWithFiles(file, values.patch)
    if (values.json) return print({ file, valid: true, errors: [], warnings, notes })
    for (const note of notes) process.stderr.write(`note: ${formatProblem(file, note)}\n`)
    for (const warning of warnings) process.stderr.write(`warning: ${formatProblem(file, warning)}\n`)
    process.stdout.write(
      values.print ? text : `${file} is valid${values.patch === undefined ? '' : ` with ${values.patch}`}\n`,
    )
    return OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    if (!values.json) throw error
    print({ file, valid: false, errors: error.problems, warnings: [], notes: [] })
    return CONFIG
  }
}

/** The findings about a file and the files that it names; throws a ConfigError where one cannot be used. */
async function checkWithFiles(
  file: string,
  patch: string | undefined,
): Promise<Pick<Checked, 'warnings' | 'notes'> & { text: string }> {
  const { checkText } = await import('../../config/load.ts')
  const text = await textOf(file, patch)
  const { config, warnings, notes, places } = checkText(text, file, process.env)
  const { checkTlsFiles } = await import('../../gate/tls-parts.ts')
  const { systemClock } = await import('../../core/clock.ts')
  const files = await checkTlsFiles(config, systemClock.wall())
  if (files.problems.length > 0) throw placedError(new ConfigError(file, files.problems), file, places)
  const late = files.warnings.map((warning) => placed(warning, places))
  return { warnings: [...warnings, ...late], notes, text }
}

async function textOf(file: string, patch: string | undefined): Promise<string> {
  const { decode, readConfigFile } = await import('../../config/file.ts')
  const read = async (name: string): Promise<string> => decode(await readConfigFile(name), name)
  const text = await read(file)
  if (patch === undefined) return text
  const { patched } = await import('../../config/patch.ts')
  return patched(text, await read(patch), patch)
}

function print(value: unknown): number {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
  return OK
}
