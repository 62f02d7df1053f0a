// A filter for TAP on stdin: prints the failed tests and the sum. Exits with 1 if a test failed, or none
// was run, or the sum is missing.

import { createInterface } from 'node:readline'

let total = ''
let isFailing = false
let indent: string | null = null
for await (const line of createInterface({ input: process.stdin })) {
  const failed = /^( *)not ok /.exec(line)
  if (failed !== null) indent = failed[1]!
  else if (indent !== null && !line.startsWith(`${indent}  `)) indent = null
  if (indent !== null) process.stdout.write(`${line}\n`)
  isFailing ||= failed !== null
  if (line.startsWith('# { total: ')) total = line
}
process.stdout.write(`${total || 'no sum: the tests did not come to their end'}\n`)
process.exitCode = isFailing || total === '' || total.startsWith('# { total: 0,') ? 1 : 0
