// Options that Node and its malloc need before they start. V8 lays its heap out at its start: a later limit
// of the young generation has no effect, and twice the memory stays in use after a storm of connections
// (figures in bench/README.md). So the gate replaces its process, once, by one with the same arguments, id
// and descriptors, and these flags. It costs the start of Node, 30 ms.

export const FLAGS = ['--max-semi-space-size=4', '--expose-gc']
/**
 * glibc gives each thread that frees the memory of another an arena of its own, and no other thread can use
 * what is free in one. With 1,000 streams of HTTP/2 the process holds 20 MB more with eight arenas than with
 * one, at the same CPU time. Other mallocs ignore this.
 */
const ENVIRONMENT = { MALLOC_ARENA_MAX: '1' }

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
      { ...ENVIRONMENT, ...process.env },
    )
  } catch {
    // Going on costs more memory, and nothing else.
  }
}
