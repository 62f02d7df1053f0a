// A client of plain HTTP whose request is forwarded as it is.

export const untrusted = {
  address: '192.0.2.1',
  proto: 'http',
  isTrusted: false,
  form: 'off',
  hasVia: false,
  service: 'svc',
} as const
