// The owner of an endpoint that has none yet.

import type { EndpointOwner } from '../endpoint/endpoint.ts'

export const nobody: EndpointOwner = { onBytes: () => true, onEnd() {}, onProgress() {}, onClosed() {} }
