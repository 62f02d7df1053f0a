import { test } from 'tap'
import { echo, file, flood, flooding, LONG, options, reader, scene, talker } from './netns-scene.ts'

test(
  'a client that vanishes while it is sent to is ended by write_timeout, and its upstream is reset',
  options,
  async (t) => {
    const { net, upstream, end } = await scene(t, 'tcp', 'deadlines: { write: 1s }', {
      upstream: [flood],
      client: reader,
    })
    net.vanish('client')
    t.match(await end(), { close: 'write_timeout', side: 'client' })
    await upstream.said('error ECONNRESET')
  },
)

test(
  'an upstream that vanishes while it is sent to is ended by write_timeout, and its client is reset',
  options,
  async (t) => {
    const { net, client, end } = await scene(t, 'tcp', 'deadlines: { write: 1s }', {
      upstream: [echo],
      client: flooding,
    })
    net.vanish('upstream')
    t.match(await end(), { close: 'write_timeout', side: 'upstream' })
    await client.said('error ECONNRESET')
  },
)

test(
  'an upstream that has vanished before the dial ends the client by connect_timeout',
  options,
  async (t) => {
    const { net, end } = await scene(t, 'tcp', 'deadlines: { connect: 500ms }', {
      upstream: [echo],
      client: null,
    })
    net.vanish('upstream')
    const client = net.run('client', talker)
    t.match(await end(), { close: 'connect_timeout', side: 'upstream' })
    await client.said('error ECONNRESET')
  },
)

test('a client whose link is down for a moment, less than its deadlines, goes on', options, async (t) => {
  const { net, client, end } = await scene(t, 'tcp', 'deadlines: { write: 5s }', {
    upstream: [file, '80000000'],
    client: reader,
  })
  net.vanish('client')
  await new Promise((resolve) => setTimeout(resolve, 700))
  net.heal('client')
  t.match(await client.said('whole', LONG), 'whole 80000000 ')
  t.match(await end(), { close: 'eof' })
})
