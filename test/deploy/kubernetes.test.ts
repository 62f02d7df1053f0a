import { test } from 'tap'
import { type KubernetesObject, problemsOf } from './kubernetes.ts'

const pod = (container: object): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'p' },
  spec: { containers: [{ name: 'a', ...container }] },
})

test('an object as it should be has no problems', async (t) => {
  t.strictSame(await problemsOf([pod({ image: 'i', ports: [{ containerPort: 80 }] })]), [])
})

test('a field that Kubernetes does not know is found, deep inside, and so is a wrong type or a missing field', async (t) => {
  const table: [object, RegExp][] = [
    [{ lifecyle: {} }, /Pod\/p: .*lifecyle"?' does not exist/],
    [{ ports: [{ containerPort: 80, prot: 1 }] }, /prot"?' does not exist/],
    [{ ports: [{ containerPort: '80' }] }, /must be integer/],
    [{ ports: [{}] }, /containerPort/],
  ]
  for (const [container, expected] of table)
    t.match((await problemsOf([pod(container)])).join('\n'), expected)
  t.match((await problemsOf([{ ...pod({}), kind: 'Pd' }])).join('\n'), /Pd\/p: Cannot find/)
})
