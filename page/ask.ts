// The page's requests to the gate that served it, one at a time: a viewer must not cost more than one look. A
// required token is kept for this tab and goes with it.

import type { PageTokenView } from '../src/admin/types.ts'

/** The longest wait for an answer. A busy gate answers late, a missing one never. */
const PATIENCE_MS = 10_000
const TOKEN_KEY = 'sidegate-token'

/** The gate refused, in a sentence. */
export class Refused extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** No answer: the gate is gone, or the way to it. */
export class NoAnswer extends Error {}

export type Method = 'GET' | 'POST' | 'DELETE'

let turn: Promise<unknown> = Promise.resolve()

/** The answer as JSON. Waits for earlier requests. */
export function ask<T>(path: string, method: Method = 'GET'): Promise<T> {
  return inTurn(() => askNow<T>(path, method))
}

/** The same, unless nobody wants it any more when its turn comes; null then. */
export function askIf<T>(isWanted: () => boolean, path: string): Promise<T | null> {
  return inTurn(async () => (isWanted() ? askNow<T>(path, 'GET') : null))
}

function inTurn<T>(run: () => Promise<T>): Promise<T> {
  const answer = turn.then(run)
  turn = answer.catch(() => {})
  return answer
}

async function askNow<T>(path: string, method: Method): Promise<T> {
  const response = await send(path, method, AbortSignal.timeout(PATIENCE_MS))
  return (await bodyOf(response, () => response.json())) as T
}

/** A file for the operator's disk; it has no time limit, and delays no other request. */
export async function download(path: string): Promise<{ name: string; blob: Blob }> {
  const response = await send(path, 'POST')
  const blob = await bodyOf(response, () => response.blob())
  const name = /filename="([^"]+)"/.exec(response.headers.get('content-disposition') ?? '')?.[1]
  return { name: name ?? 'sidegate-profile', blob }
}

/** A change carries the token of the page, which is fetched each time, since a restarted gate has another. */
async function send(path: string, method: Method, signal: AbortSignal | null = null): Promise<Response> {
  const headers: Record<string, string> = {}
  const token = keptToken()
  if (token !== null) headers['Authorization'] = `Bearer ${token}`
  if (method !== 'GET') headers['X-Sidegate-Page'] = (await askNow<PageTokenView>('page-token', 'GET')).token
  let response: Response
  try {
    response = await fetch(path, { method, headers, signal, cache: 'no-store', credentials: 'omit' })
  } catch {
    throw new NoAnswer('The gate does not answer.')
  }
  if (response.ok) return response
  throw new Refused(response.status, sentenceOf(await bodyOf(response, () => response.text())))
}

async function bodyOf<T>(response: Response, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch {
    throw new NoAnswer(`The gate did not finish its answer (${response.status}).`)
  }
}

function sentenceOf(body: string): string {
  try {
    const { error, problems } = JSON.parse(body) as { error?: unknown; problems?: unknown }
    if (typeof error === 'string') return sentence(error)
    if (Array.isArray(problems)) return problems.map(String).map(sentence).join(' ')
  } catch {
    // Not JSON: plain words.
  }
  return sentence(body.trim().slice(0, 500))
}

/** With a capital and a full stop. */
export function sentence(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${/[.?!]$/.test(text) ? '' : '.'}`
}

export function keptToken(): string | null {
  return sessionStorage.getItem(TOKEN_KEY)
}

/** Null forgets it. */
export function keepToken(token: string | null): void {
  if (token === null) sessionStorage.removeItem(TOKEN_KEY)
  else sessionStorage.setItem(TOKEN_KEY, token)
}
