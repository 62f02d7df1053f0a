// The three kinds of failure: peers misbehave (a Close, never thrown), operators misconfigure (ConfigError),
// we have a bug (InvariantError).

/** One problem in a configuration file: where it is, what is wrong, and what to write instead. */
export interface ConfigProblem {
  /** 1-based position in the file; 0 where the problem has none (a missing file). */
  line: number
  column: number
  /** Such as `listeners[0].deadlines.idle`; empty for the document itself. */
  path: string
  /** Lower case, the fact first, then the remedy. */
  message: string
  /** This host lacks descriptors or memory for it: the same configuration is worth another try. */
  isPassing?: boolean
}

const ownWants = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

/** Whether an error of the system tells of a want of our own host, which passes, and of nobody else's. */
export function isOwnWant(code: string | null | undefined): boolean {
  return ownWants.has(code ?? '')
}

/** An unusable configuration, with all of its problems, not only the first. */
export class ConfigError extends Error {
  readonly file: string
  readonly problems: readonly ConfigProblem[]

  constructor(file: string, problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => formatProblem(file, problem)).join('\n'))
    this.name = 'ConfigError'
    this.file = file
    this.problems = problems
  }
}

/** `sidegate.yaml:12:9 listeners[0].deadlines.idle: got 5, write a duration such as 5s` */
export function formatProblem(file: string, problem: ConfigProblem): string {
  const place = problem.line > 0 ? `${file}:${problem.line}:${problem.column}` : file
  return problem.path === '' ? `${place} ${problem.message}` : `${place} ${problem.path}: ${problem.message}`
}

/** The positions of the values of a file, by their paths. */
export type Places = Readonly<Record<string, Pick<ConfigProblem, 'line' | 'column'>>>

/**
 * A problem that shows only once the file is used, such as a port that is taken: at its value, or at the
 * nearest key around it.
 */
export function placed(problem: ConfigProblem, places: Places): ConfigProblem {
  if (problem.line > 0) return problem
  let path = problem.path
  while (path !== '' && !Object.hasOwn(places, path))
    path = path.slice(0, Math.max(0, path.lastIndexOf('.'), path.lastIndexOf('[')))
  return { ...problem, ...places[path] }
}

/** The file of a configuration, and where its keys stand in it. */
export interface Written {
  file: string
  places: Places
}

const fileKey = /\.tls\.(?:cert|key|ca|clientCa)$/

/** Of the files that may change at any time: the others are used, and judged, once. */
export function ofFiles({ file, places }: Written): Written {
  return { file, places: Object.fromEntries(Object.entries(places).filter(([path]) => fileKey.test(path))) }
}

/** With its place in the file, where that is known. */
export function formatPlaced(problem: ConfigProblem, written: Written | null): string {
  const at = placed(problem, written?.places ?? {})
  return at.line > 0 ? formatProblem(written!.file, at) : `${at.path}: ${at.message}`
}

/** The same for all problems of an error. */
export function placedError({ problems }: ConfigError, file: string, places: Places): ConfigError {
  return new ConfigError(
    file,
    problems.map((problem) => placed(problem, places)),
  )
}

/** A broken invariant: a bug of ours. Ends one connection as `internal_error`, never the process. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** The words for a bug of ours; for any error but a broken invariant, with the place where it was thrown. */
export function bugDetail(error: unknown): string {
  if (error instanceof InvariantError || !(error instanceof Error))
    return error instanceof Error ? error.message : String(error)
  const [, where = ''] = (error.stack ?? '').split('\n    ')
  return `${error.name}: ${error.message} ${where}`.trim()
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}
