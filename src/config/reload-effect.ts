// The effect of a reload on each key: one table, for the gate that reloads and for docs/configuration.md. It
// does not load the schema, which an idle gate saves.

/**
 * live: for open connections too. new: for connections, and other work, that begin from then on. restart: the
 * process keeps the old value.
 */
export type ReloadEffect = 'live' | 'new' | 'restart'

/** The longest path that a key begins with decides. */
const effects: Readonly<Record<string, ReloadEffect>> = {
  health: 'restart',
  admin: 'restart',
  log: 'live',
  drain: 'new',
  memory: 'live',
  workers: 'restart',
  shared: 'live',
  'shared.group': 'new',
  listeners: 'new',
  'listeners[].deadlines': 'live',
  // A search for an upstream gets its time at its beginning.
  'listeners[].deadlines.connect': 'new',
  'listeners[].websocket.ping': 'live',
  'listeners[].websocket.messageTimeout': 'live',
}

/** The effect on a path such as `listeners[].deadlines.idle`. */
export function reloadEffect(path: string): ReloadEffect {
  let best = ''
  for (const prefix of Object.keys(effects)) {
    if (
      (path === prefix || path.startsWith(`${prefix}.`) || path.startsWith(`${prefix}[]`)) &&
      prefix.length > best.length
    )
      best = prefix
  }
  const effect = effects[best]
  if (effect === undefined) throw new Error(`no effect of a reload is known for ${path}`)
  return effect
}

/** Sections of the file whose values wait for a restart. */
export const restartSections: readonly string[] = Object.entries(effects)
  .filter(([, effect]) => effect === 'restart')
  .map(([path]) => path)
