import type { Stack } from "./stack.ts";

/** URLs and keys of a running stack, one aligned line each. */
export function describeStack(stack: Stack): string {
  const rows: [string, string][] = [
    ["database", stack.databaseUrl],
    ["API", stack.apiUrl],
    ["functions", stack.functionsUrl],
    [stack.simulator === undefined ? "vendor" : "vendor simulator", stack.fmpUrl],
    ["anon key", stack.keys.anonKey],
    ["service key", stack.keys.serviceKey],
    ["publishable key", stack.keys.publishableKey],
    ["secret key", stack.keys.secretKey],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}`).join("\n");
}
