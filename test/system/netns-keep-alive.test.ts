import { test } from 'tap'
import { echo, options, scene, talker } from './netns-scene.ts'

// The kernel needs ten probes, a second apart, to give up: both tests at once.
test(
  'a tcp peer that vanishes while idle is found by TCP keep-alive, and the other one is reset',
  options,
  async (t) => {
    const [one, other] = [
      await scene(t, 'tcp', 'tcpKeepAlive: 1s', { upstream: [echo], client: talker }),
      await scene(t, 'tcp', 'tcpKeepAlive: 1s', { upstream: [echo], client: talker }),
    ]
    await new Promise((resolve) => setTimeout(resolve, 1500)) // probes begin for a pair that is older than a second
    one.net.vanish('client')
    other.net.vanish('upstream')
    t.match(await one.end(), { close: 'reset', side: 'client', detail: 'ETIMEDOUT' })
    t.match(await other.end(), { close: 'reset', side: 'upstream', detail: 'ETIMEDOUT' })
    await one.upstream.said('error ECONNRESET')
    await other.client.said('error ECONNRESET')
  },
)
