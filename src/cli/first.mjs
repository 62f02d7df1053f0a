#!/usr/bin/env node
// The first file of the program, which any Node since 8 can read: it says which one is needed, where the next file would be a syntax error.
// dist/cli.js is a copy.

var major = Number(process.versions.node.split('.')[0])
var NEEDED = 24
if (major >= NEEDED) void import('./cli/cli.js')
else {
  process.stderr.write(
    'sidegate: needs Node ' +
      NEEDED +
      ' or later, and this is ' +
      process.version +
      ' (' +
      process.execPath +
      ')\n',
  )
  process.exitCode = 69
}
