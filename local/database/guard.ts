import type { Account } from "./account.ts";

/** Cleans up after us when our own process is killed. */
export interface Guard {
  /** Names the process to end; the one named before has ended. */
  watch(pid: number): Promise<void>;
  /** Ends the guard without touching anything. */
  dismiss(): Promise<void>;
}

// The reading ends either with "done" or, when our process is gone, at end of file.
const SCRIPT = `
trap '' INT TERM HUP
pid=
while read -r word value; do
  case "$word" in
    pid) pid=$value ;;
    done) exit 0 ;;
  esac
done
if [ -n "$pid" ]; then
  kill -INT "$pid" 2>/dev/null
  tries=0
  while kill -0 "$pid" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
  kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
`;

/** Starts a guard that removes `temporaryDir` and ends what it is told to watch. */
export function startGuard(temporaryDir: string, account: Account | undefined): Guard {
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", SCRIPT, "sh", temporaryDir],
    cwd: "/",
    ...account,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  const tell = (line: string) => writer.write(new TextEncoder().encode(`${line}\n`));
  return {
    watch: (pid) => tell(`pid ${pid}`),
    async dismiss() {
      await tell("done");
      await writer.close();
      await child.status;
    },
  };
}
