// The viewer's place in the page, in the address bar: `#/connections/42?sort=idle`. A link can be sent to a
// colleague.

import { useLayoutEffect, useState } from 'preact/hooks'

export interface Route {
  view: string
  /** The part after the view, such as the ID of a connection. */
  parameter: string | null
  query: URLSearchParams
}

function read(): Route {
  const [path = '', query = ''] = location.hash.replace(/^#\/?/, '').split('?')
  const [view = '', parameter] = path.split('/')
  return { view, parameter: parameter ?? null, query: new URLSearchParams(query) }
}

export function useRoute(): Route {
  const [route, setRoute] = useState(read)
  // An effect begins after the next paint: the address may have changed by then, which nobody would hear.
  useLayoutEffect(() => {
    const onChange = (): void => setRoute(read())
    addEventListener('hashchange', onChange)
    return () => removeEventListener('hashchange', onChange)
  }, [])
  return route
}

export function linkTo(view: string, query?: URLSearchParams): string {
  const text = query?.toString() ?? ''
  return `#/${view}${text === '' ? '' : `?${text}`}`
}

/** Another query of the same view, without a step in the history. */
function replaceQuery(view: string, query: URLSearchParams): void {
  history.replaceState(null, '', linkTo(view, query))
  dispatchEvent(new HashChangeEvent('hashchange'))
}

/** Shows the view with one parameter of its query changed; an empty value removes it. */
export function changeQuery(view: string, query: URLSearchParams, name: string, value: string): void {
  const next = new URLSearchParams(query)
  if (value === '') next.delete(name)
  else next.set(name, value)
  replaceQuery(view, next)
}
