// Node's http module, without what its import as an ES module costs: that reads every export once, and two of them load
// undici, 9 MB that nothing here uses (Node 26.10, measured as the resident memory of a process that imports only this).

import type Http from 'node:http'

export const nodeHttp: typeof Http = process.getBuiltinModule('node:http')
