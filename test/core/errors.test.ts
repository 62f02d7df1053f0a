import { test } from 'tap'
import { ConfigError, placed, placedError } from '../../src/core/errors.ts'

const places = {
  listeners: { line: 1, column: 1 },
  'listeners[0]': { line: 2, column: 5 },
  'listeners[0].tls': { line: 3, column: 5 },
  'listeners[0].tls.cert': { line: 3, column: 18 },
}
const of = (path: string) => ({ line: 0, column: 0, path, message: 'is bad' })

test('a problem gets the place of its value, or of the nearest key around it, or none', async (t) => {
  const table: Array<[string, number, number]> = [
    ['listeners[0].tls.cert', 3, 18],
    ['listeners[0].tls.clientCa', 3, 5],
    ['listeners[0].limits.connections', 2, 5],
    ['listeners[7].address', 1, 1],
    ['health.address', 0, 0],
    ['', 0, 0],
    ['__proto__.x', 0, 0],
  ]
  for (const [path, line, column] of table)
    t.same(placed(of(path), places), { ...of(path), line, column }, path)
})

test('a place that is known already stays', async (t) => {
  const known = { ...of('listeners[0].tls'), line: 9, column: 9 }
  t.same(placed(known, places), known)
})

test('an error has the places of its file for all its problems', async (t) => {
  const error = new ConfigError('configuration', [of('listeners[0].tls.cert'), of('workers')])
  t.equal(
    placedError(error, 'a.yaml', places).message,
    'a.yaml:3:18 listeners[0].tls.cert: is bad\na.yaml workers: is bad',
  )
})
