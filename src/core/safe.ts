// Foreign text made safe for a terminal or a log line: nothing in it may act there.

/**
 * Controls (an escape sequence lets its sender drive a terminal), separators, and the marks that reverse the
 * direction of a line.
 */
const unprintable = /[\p{C}\p{Zl}\p{Zp}]/gu

/** Writes each unprintable character as its JSON escape, by UTF-16 units. */
export function safe(text: string): string {
  return text.replaceAll(unprintable, escapeUnits)
}

function escapeUnits(char: string): string {
  let escaped = ''
  for (let at = 0; at < char.length; at++)
    escaped += `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`
  return escaped
}
