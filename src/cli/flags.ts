// Options that Node needs before it starts. V8 lays its heap out at its start: a later limit of the young
// generation has no effect, and twice the memory stays in use after a storm of connections (figures in
// bench/README.md). So the gate replaces its process, once, by one with the same arguments, id and
// descriptors, and these flags. It costs the start of Node, 30 ms.

export const FLAGS = ['--max-semi-space-size=4', '--expose-gc']

/**
 * Does not return where it replaces the process; returns where an operator set the option, and where the
 * system refuses.
 */
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
    // Going on costs more memory, and nothing else.
  }
}
