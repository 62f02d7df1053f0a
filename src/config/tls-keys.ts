// The keys of TLS, on either side.

import { choice, derived, section, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseServerName } from './names.ts'
import { file } from './shapes.ts'

export const listenerTls = section('TLS with clients. The files are read again when they change.', {
  cert: file({ meaning: 'The certificate, in PEM, intermediate ones included.' }),
  key: file({ meaning: 'Its private key, in PEM.' }),
  clientCa: derived(file({ derived: 'clients need no certificate', meaning: 'Clients must show a certificate that one of these authorities has signed, in PEM.' })),
  minVersion: choice({ default: 'TLSv1.2', meaning: 'The oldest version of TLS that is spoken.' }, ['TLSv1.2', 'TLSv1.3']),
})

export const upstreamTls = section('TLS to the upstream. Its certificate is always verified.', {
  ca: derived(file({ derived: "those that Node brings along", meaning: 'The authorities that may have signed its certificate, in PEM.' })),
  cert: derived(file({ derived: 'none is shown', meaning: 'The certificate that is shown to it, in PEM, intermediate ones included; with `key`.' })),
  key: derived(file({ derived: 'none', meaning: 'The private key of `cert`, in PEM.' })),
  serverName: derived(value<string>({
    type: 'name', remedy: 'write the name in its certificate', json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9._:-]{1,253}$' }), read: parseServerName,
  }, { derived: 'the host of the address', meaning: 'The name that its certificate must have; sent to it as SNI.' })),
})
