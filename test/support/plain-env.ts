/** This process's environment without the variables by which a test runner loads itself into every Node below it. */
export function plainEnv(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => name !== 'NODE_OPTIONS' && !name.includes('TAP')),
  )
}
