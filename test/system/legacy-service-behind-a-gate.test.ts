import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { WebSocket } from 'ws'
import { parse } from 'yaml'
import { freePort } from '../support/free-port.ts'
import { needs, runTool, temporary, whenListening } from '../support/tools.ts'
import { runFile } from './program.ts'

const root = join(import.meta.dirname, '../..')
const deploy = join(root, 'deploy')
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')

// eslint-disable-next-line typescript/no-explicit-any -- what YAML holds
type Loose = any

test(
  'the legacy service of the manifests and of compose runs, behind a gate with the configuration of the manifests',
  needs(),
  async (t) => {
    const yaml: Loose = parse(read('manifests/legacy/deployment.yaml'))
    const inManifest = (yaml.spec.template.spec.containers[0].command as string[])
      .at(-1)!
      .replace('/app/package.json', join(root, 'package.json'))
    const texts: Loose = parse(read('manifests/configmap.yaml'))
    const starts: [string, string[]][] = [
      ['manifests', ['--input-type=module', '--eval', inManifest]],
      ['compose', [join(deploy, 'compose/legacy.mjs')]],
    ]
    for (const [name, args] of starts) {
      const [legacy, port, health, admin] = [freePort(), freePort(), freePort(), freePort()]
      runTool(t, process.execPath, args, { PORT: String(legacy), APP: join(root, 'package.json') })
      await whenListening(legacy)
      const file = join(temporary(t), 'sidegate.yaml')
      const listeners = (texts.data['sidegate.yaml'] as string)
        .replace(':17080', `127.0.0.1:${port}`)
        .replace('127.0.0.1:8080', `127.0.0.1:${legacy}`)
      writeFileSync(
        file,
        `health: { address: "127.0.0.1:${health}" }\nadmin: { address: "127.0.0.1:${admin}" }\n${listeners}`,
      )
      await runFile(t, file, { ports: [health, admin, port] })
      t.equal(await (await fetch(`http://127.0.0.1:${port}/a`)).text(), 'legacy: GET /a\n', name)
      const client = new WebSocket(`ws://127.0.0.1:${port}/`)
      await once(client, 'open')
      client.send('hello')
      const [data, isBinary] = (await once(client, 'message')) as [Buffer, boolean]
      t.strictSame([data.toString(), isBinary], ['hello', false], name)
      client.close()
      await once(client, 'close')
    }
  },
)
