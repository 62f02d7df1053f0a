// Options that Node needs before it starts. V8 lays its heap out then: a limit of the young generation that is set later is not kept, and
// twice the memory stays in use after a storm of connections (figures in bench/README.md). So the gate replaces its process, once, by one with
// the same words, id and descriptors, and these flags. It costs what Node takes to start, 30 ms.

export const FLAGS = ['--max-semi-space-size=4', '--expose-gc']

/** Does not return where it replaces the process; returns where an operator chose, and where the system does not let it. */
export function restartWithFlags(): void {
  const given = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ').replaceAll('_', '-')
  if (given.includes('--max-semi-space-size')) return
  try {
    process.execve?.(
      process.execPath,
      [process.execPath, ...FLAGS, ...process.execArgv, ...process.argv.slice(1)],
      process.env,
    )
  } catch {
    // More memory, and nothing else, is what it costs to go on.
  }
}
