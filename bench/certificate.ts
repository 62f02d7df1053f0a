// A certificate for `localhost` that signs itself, made by openssl.

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

/** Writes both files into `folder`; returns their paths. */
export function selfSigned(folder: string): { cert: string; key: string } {
  const [cert, key] = [join(folder, 'tls.crt'), join(folder, 'tls.key')]
  const request =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
  const names = ['-addext', 'subjectAltName=DNS:localhost']
  execFileSync('openssl', [...request.split(' '), ...names, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  })
  return { cert, key }
}
