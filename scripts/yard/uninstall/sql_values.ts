/** A text as SQL writes it. */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** An array of texts, one on each line. */
export function textArray(texts: readonly string[]): string {
  if (texts.length === 0) return "'{}'";
  return `array[\n    ${texts.map(quoteText).join(",\n    ")}\n  ]::text[]`;
}
