// Node's http module, without the cost of importing it as an ES module: that import reads every export once,
// and two of them load undici, 9 MB that nothing here uses (Node 26.10, the resident memory of a process with
// this import alone).

import type Http from 'node:http'

export const nodeHttp: typeof Http = process.getBuiltinModule('node:http')
