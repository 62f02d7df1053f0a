// Text of others on its way to a terminal or a log line: nothing in it may act there.

/** Controls (an escape sequence could do as its sender likes with a terminal), separators, and the marks that turn a line around. */
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
