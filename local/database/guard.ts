import type { Account } from "./account.ts";

/** Watches over a server so that it ends even when our own process is killed. */
export interface Guard {
  /** Ends the guard without touching the server. */
  dismiss(): Promise<void>;
}

// The read ends either with our line (dismissed) or, when our process is gone, at end of file.
const SCRIPT = `
trap '' INT TERM HUP
if read -r line; then exit 0; fi
kill -INT "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -KILL "$1" 2>/dev/null
if [ -n "$2" ]; then rm -rf -- "$2"; fi
`;

/** Starts a guard for the server `pid`; it also removes `temporaryDir`, when given. */
export function startGuard(
  pid: number,
  temporaryDir: string | undefined,
  account: Account | undefined,
): Guard {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", SCRIPT, "sh", String(pid), temporaryDir ?? ""],
    cwd: "/",
    ...account,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    async dismiss() {
      const writer = child.stdin.getWriter();
      await writer.write(new TextEncoder().encode("done\n"));
      await writer.close();
      await child.status;
    },
  };
}
