// A gate in the thread of its operator: messages are calls, and nothing is copied.

import { Gate } from '../gate/gate.ts'
import type { GateParts } from '../gate/gate.ts'
import type { GateSettings } from '../gate/messages.ts'
import type { OpenGate } from './gates.ts'

export function localGate(settings: GateSettings, parts: GateParts): OpenGate {
  const gate = new Gate(settings, parts)
  return {
    port: gate,
    get open() {
      return gate.registry.open
    },
  }
}
