import { test } from 'tap'
import { advise } from '../../../src/cli/commands/advise.ts'
import { connections } from '../../../src/cli/commands/connections.ts'
import { drain } from '../../../src/cli/commands/drain.ts'
import { health } from '../../../src/cli/commands/health.ts'
import { kill } from '../../../src/cli/commands/kill.ts'
import { log } from '../../../src/cli/commands/log.ts'
import { profile } from '../../../src/cli/commands/profile.ts'
import { recent } from '../../../src/cli/commands/recent.ts'
import { reload } from '../../../src/cli/commands/reload.ts'
import { top } from '../../../src/cli/commands/top.ts'
import { UsageError } from '../../../src/cli/commands/usage.ts'

const commands: Record<string, (args: string[]) => Promise<number>> = {
  advise,
  connections,
  drain,
  health,
  kill,
  log,
  profile,
  recent,
  reload,
  top,
}

test('wrong words are usage errors, before anything is asked', async (t) => {
  const table: [string[], RegExp][] = [
    [['advise', '--reset', '--listener', 'a'], /forgets what was seen at every listener/],
    [['advise', '--reset', '--yaml'], /takes no other option/],
    [['kill'], /kill needs one ID/],
    [['kill', 'x'], /"x" is no ID/],
    [['kill', '1', '--admin', ':1', '--admin', ':2'], /--admin is given twice/],
    [['drain', '--admin', ':1', '--wait', '--wait'], /--wait is given twice/],
    [['recent', '-c', 'a.yaml', '--config', 'b.yaml'], /--config is given twice/],
    [['kill', '1', '2'], /kill needs one ID/],
    [['connections', '1', '2'], /takes one ID at the most/],
    [['connections', '--sort', 'size'], /--sort must be one of/],
    [['connections', '--protocol', 'udp'], /--protocol must be one of tcp, http, websocket, h2, not "udp"/],
    [['connections', '--phase', 'rely'], /--phase must be one of .*; did you mean relay\?/],
    [['connections', '--limit', '0'], /--limit must be 1 to 10000, not "0"/],
    [['recent', '--reason', 'idle_timout'], /--reason must be one of .*; did you mean idle_timeout\?/],
    [['recent', '--limit', 'x'], /--limit must be 1 to 10000/],
    [['log', 'loud'], /the level must be one of error, warn, info, debug/],
    [['log', 'debug', '--for', '5'], /--for: got "?5"?, write a duration/],
    [['log', 'debug', '--for', '25h'], /--for: got 25h/],
    [['log', 'debug', '--for', ''], /--for is empty, write a value/],
    [['health', '--admin='], /--admin is empty/],
    [['connections', '--client', ''], /--client is empty/],
    [['kill', ''], /an empty argument, write a value \(is a variable of the shell not set\?\)/],
    [['top', 'x'], /unexpected argument/],
    [['log', 'a', 'b'], /takes one level/],
    [['log', '--for', '5m'], /--for needs a level/],
    [['profile'], /needs one of cpu, heap, snapshot/],
    [['profile', 'cpu', '--seconds', '61'], /--seconds must be 1 to 60/],
    [['profile', 'snapshot', '--seconds', '5'], /takes no --seconds/],
    [['profile', 'cpu', '--force'], /--force is for profile snapshot/],
    [['drain', '--undo', '--wait'], /nothing to wait for/],
    [['reload', 'now'], /unexpected argument/],
    [['health', '--health', '5'], /--health: got/],
    [['log', '--admin', 'nonsense'], /--admin: got nonsense, write host:port/],
  ]
  for (const [[name = '', ...args], message] of table)
    await t.rejects(
      commands[name]!(args),
      Object.assign(new UsageError(), { message }),
      [name, ...args].join(' '),
    )
})
