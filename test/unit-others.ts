/**
 * Files outside the unit ring: rooms whose tests start programs, render charts or run whole gates, and single files that measure the heap
 * of their process. test/run.ts runs each by itself.
 */
export const others = ['test/{alone,cli,deploy,support,system,wire}/**', 'test/admin/debug-routes.test.ts']
