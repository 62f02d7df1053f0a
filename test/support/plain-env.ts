/** This process's environment without what a test runner puts there to load itself into every Node below it. */
export function plainEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.includes('TAP')),
  )
}
