/**
 * Reads an SQL template and fills `{{name}}` with a value and `{{> path}}`, on a line of its own, with
 * another template, whose path is relative to the first one's.
 */
export async function fillTemplate(
  template: URL,
  values: Readonly<Record<string, string>>,
): Promise<string> {
  const filled: string[] = [];
  for (const text of (await Deno.readTextFile(template)).split(/(?<=\n)/)) {
    const part = /^\{\{> (\S+)\}\}\n$/.exec(text)?.[1];
    filled.push(
      part === undefined
        ? fillLine(text, values, template)
        : await fillTemplate(new URL(`${part}.sql`, template), values),
    );
  }
  return filled.join("");
}

function fillLine(text: string, values: Readonly<Record<string, string>>, template: URL): string {
  return text.replaceAll(/\{\{(\w+)\}\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) {
      throw new Error(`Cannot fill "${template.pathname}": no value "${key}"`);
    }
    return value;
  });
}
