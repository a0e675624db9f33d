/**
 * Reads `verify_jwt` of each `[functions.<name>]` section of a `supabase/config.toml`.
 * Functions without the setting are not in the answer; the platform's default is true.
 */
export function readVerifyJwt(configToml: string): Record<string, boolean> {
  const settings: Record<string, boolean> = {};
  let name: string | undefined;
  for (const line of configToml.split("\n")) {
    const section = /^\s*\[([^\]]+)\]/.exec(line)?.[1];
    if (section !== undefined) {
      name = /^functions\.(?:"([^"]+)"|([\w-]+))$/.exec(section.trim())?.slice(1).find(Boolean);
      continue;
    }
    const value = /^\s*verify_jwt\s*=\s*(true|false)\b/.exec(line)?.[1];
    if (name !== undefined && value !== undefined) settings[name] = value === "true";
  }
  return settings;
}
