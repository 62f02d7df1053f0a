import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'
import { CLI } from '../../support/command.ts'

const pod =
  'kind: Pod\nmetadata:\n  name: web\nspec:\n  containers:\n    - name: app\n      ports:\n        - containerPort: 8080\n'

function inject(args: string[], input = ''): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'inject', ...args], {
    encoding: 'utf8',
    input,
  })
  return { status, stdout, stderr }
}

test('a file and a pipe give the same manifest on stdout, and what was changed on stderr', async (t) => {
  const file = join(t.testdir({ 'pod.yaml': pod }), 'pod.yaml')
  const [fromFile, fromPipe, fromDash] = [inject(['-f', file]), inject([], pod), inject(['-f', '-'], pod)]
  t.strictSame([fromFile.status, fromPipe.status, fromDash.status], [0, 0, 0])
  t.equal(fromFile.stdout, fromPipe.stdout)
  t.equal(fromFile.stdout, fromDash.stdout)
  t.match(fromFile.stdout, /image: registry\.example\.com\/yours\/sidegate:\d+\.\d+\.\d+\n/)
  t.match(fromFile.stderr, 'Pod/web: initContainers: added sidegate\n')
  t.match(fromFile.stderr, 'ConfigMap/web-sidegate: written')
})

test('a placeholder of an image is told with the option that names one, until it is named', async (t) => {
  const told =
    /^note: image registry\.example\.com\/yours\/sidegate is a placeholder .*: name yours with --image /m
  const first = inject([], pod)
  t.match(first.stderr, told)
  t.notMatch(first.stdout, /note:/)
  t.match(inject([], first.stdout).stderr, told, 'in a second run, too')
  const named = inject(['--image', 'mirror/sidegate:1'], first.stdout)
  t.match(named.stdout, 'image: mirror/sidegate:1')
  t.notMatch(named.stderr, told)
  t.notMatch(inject([], named.stdout).stderr, told)
})

test('the options are taken', async (t) => {
  const { stdout } = inject(
    [
      '--port',
      '9000:17099',
      '--config-map',
      'mine',
      '--image',
      'mirror/sidegate:1',
      '--container',
      'app',
      '--only',
      'web',
    ],
    pod,
  )
  for (const text of ['containerPort: 17099', 'name: mine', 'image: mirror/sidegate:1']) t.match(stdout, text)
  t.match(
    inject(['--port', '9000', '--protocol', 'tcp'], pod).stdout,
    'protocol: tcp\n        upstream: 127.0.0.1:9000',
  )
})

test('wrong words exit 64, a manifest that cannot be used exits 78, neither writes to stdout', async (t) => {
  const table: [string[], number, string][] = [
    [
      ['--port', 'http'],
      64,
      `sidegate: --port is the application's port and the gate's, such as 8080:17080, 1883:17081/tcp or 50051/h2c, not "http"\n`,
    ],
    [['--port', '0:17080'], 64, 'sidegate: --port is'],
    [['--port', '8080:65536'], 64, 'sidegate: --port is'],
    [
      ['--protocol', 'udp'],
      64,
      'sidegate: --protocol is http, tcp or h2c, not "udp"\ntry: sidegate inject --help\n',
    ],
    // As with `--image "$IMAGE"` in another shell than the one that built the image.
    [
      ['--image', ''],
      64,
      'sidegate: --image is empty, write a value (is a variable of the shell not set?)\n',
    ],
    [['--container='], 64, 'sidegate: --container is empty'],
    [['--image', 'a b'], 64, 'sidegate: --image is a repository and a tag, such as '],
    [['--fast'], 64, "sidegate: unknown option '--fast'\n"],
    [['deploy.yaml'], 64, "sidegate: unexpected argument 'deploy.yaml'"],
    [['-f', '/absent.yaml'], 78, '/absent.yaml does not exist\n'],
    [['-f', '/'], 78, '/ cannot be read: EISDIR\n'],
    [[], 78, 'stdin holds no Deployment'],
  ]
  for (const [args, expected, complaint] of table) {
    const { status, stdout, stderr } = inject(args)
    t.strictSame([status, stdout], [expected, ''], args.join(' '))
    t.ok(stderr.startsWith(complaint), stderr)
  }
})
