/**
 * Files outside the unit ring: rooms whose tests start programs, render charts or run whole gates, and single files that measure the heap
 * of their process. test/run.ts runs each by itself.
 */
export const others = ['test/{alone,cli,deploy,support,system,wire}/**', 'test/admin/debug-routes.test.ts']

/** `2/3` is the second, fifth, and so on: neighbours are alike, and as long. */
export function partOf(files: readonly string[], part = '1/1'): string[] {
  const [nth, count] = part.split('/').map(Number) as [number, number]
  return files.filter((_, at) => at % count === nth - 1)
}
