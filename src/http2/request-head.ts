// The head of a request on its way to a service that speaks HTTP/2 (RFC 9113 section 8.3.1).

import type { OutgoingHttpHeaders } from 'node:http2'
import { invariant } from '../core/errors.ts'
import type { Framing } from '../http1/body.ts'
import { parseRequestHead } from '../http1/head.ts'
import { CONTENT_TYPE, HOST } from '../http1/header-name.ts'
import type { Field } from '../http1/fields.ts'
import { isGrpcType } from '../http1/grpc.ts'
import { fieldsByName, framingOf } from './fields.ts'

export interface OutgoingRequest {
  method: string
  isGrpc: boolean
  headers: OutgoingHttpHeaders
  framing: Framing
}

/** As SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113 section 6.5.2). */
export function headSize(headers: OutgoingHttpHeaders): number {
  let size = 0
  for (const [name, value] of Object.entries(headers))
    for (const one of [value].flat()) size += name.length + String(one).length + FIELD_SIZE
  return size
}
const FIELD_SIZE = 32

/** Headers of one connection; the engine writes no others of that kind. */
const ofConnection: ReadonlySet<string> = new Set(['host', 'connection', 'transfer-encoding'])

/** `text` is a head that the engine wrote; `authority` is for a request without a host. */
export function outgoingRequest(text: string, scheme: 'http' | 'https', authority: string): OutgoingRequest {
  const head = parseRequestHead(text)
  invariant(typeof head !== 'string', 'a request head of ours')
  const { method, target, headers: fields } = head
  const isGrpc = isGrpcType(fields.value(CONTENT_TYPE))
  const headers: OutgoingHttpHeaders = {
    ':method': method,
    ':scheme': scheme,
    ':authority': fields.value(HOST) || authority,
    ':path': target,
    ...outgoingFields(fields.list),
  }
  // We pass trailers on, so `te` is ours to send; a gRPC service may refuse a request without it.
  if (isGrpc) headers['te'] = 'trailers'
  return { method, isGrpc, headers, framing: framingOf(fields) }
}

/** Fields on their way to a service. */
export function outgoingFields(fields: readonly Field[]): OutgoingHttpHeaders {
  return fieldsByName(fields, ofConnection)
}
