// Whether renewed files may replace those in use: they may, unless that would replace something valid by
// something invalid. An issuer with a wrong clock, a restored backup or a mixed-up Secret must not take a
// service down that could go on for days.

import type { TlsFileProblem, Validities, Validity } from './tls-files.ts'

/**
 * The objections to `next` in the place of `used`. At start there is nothing to lose, and an expired
 * certificate gives only a warning.
 */
export function objections(next: Validities, used: Validities | null, now: number): TlsFileProblem[] {
  const problems: TlsFileProblem[] = []
  const { leaf } = next
  if (leaf !== null && !isValid(leaf, now) && used?.leaf && isValid(used.leaf, now))
    problems.push({ file: 'cert', message: fault(leaf, now) })
  const trustsSome = ({ authorities }: Validities): boolean => authorities.some((one) => isValid(one, now))
  if (used !== null && next.authorities.length > 0 && trustsSome(used) && !trustsSome(next)) {
    problems.push({
      file: 'ca',
      message: 'holds no authority that is valid now, and the one in use does: renew it',
    })
  }
  return problems
}

/** The next time at which a certificate becomes valid that is not valid yet; null where there is none. */
export function validFrom({ leaf, authorities }: Validities, now: number): number | null {
  const later = [...(leaf === null ? [] : [leaf]), ...authorities]
    .map(({ from }) => from)
    .filter((from) => from > now)
  return later.length === 0 ? null : Math.min(...later)
}

function isValid({ from, to }: Validity, now: number): boolean {
  return from <= now && now < to
}

function fault({ from, to }: Validity, now: number): string {
  if (now >= to) return `expired on ${day(to)}, and the one in use is valid: renew it`
  return `is not valid before ${new Date(from).toISOString()}, and the one in use is valid: it is tried again then`
}

function day(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10)
}
