// An application whose port the gate takes over has to listen elsewhere, and only the application knows how
// that is set.

import { containersOf } from '../pod.ts'
import { titleOf } from '../stream.ts'
import type { Loose } from '../plain.ts'
import type { Judge } from './judge.ts'

export const judgeMoved: Judge = ({ workload, doors }) =>
  doors
    .filter(({ isTaken }) => isTaken)
    .map(({ container: name, port, appPort }) => {
      const container: Loose = containersOf(workload).find((one) => one.name === name)
      const places = [...variables(container, port), ...words(container, port)]
      const where =
        places.length === 0 ? 'by its environment, arguments or configuration' : `in ${places.join(', ')}`
      return {
        code: 'moved-port',
        about: titleOf(workload),
        text: `container ${name} must listen on ${appPort} from now on, not on ${port}: say so ${where}`,
      }
    })

function variables({ env }: Loose, port: number): string[] {
  return (Array.isArray(env) ? env : [])
    .filter(({ value }) => mentions(value, port))
    .map(({ name }) => `env ${name}`)
}

function words(container: Loose, port: number): string[] {
  return ['command', 'args'].filter((key) =>
    (container[key] ?? []).some((word: unknown) => mentions(word, port)),
  )
}

function mentions(text: unknown, port: number): boolean {
  return (
    (typeof text === 'string' || typeof text === 'number') && new RegExp(`\\b${port}\\b`).test(String(text))
  )
}
