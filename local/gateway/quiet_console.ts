import { AsyncLocalStorage } from "node:async_hooks";
import { format } from "node:util";

type Log = (line: string) => void;

const METHODS = ["log", "info", "warn", "error", "debug"] as const;
const redirection = new AsyncLocalStorage<Log>();
let isInstalled = false;

/**
 * Runs `work` with everything it prints through `console` sent to `log`; other code keeps the
 * terminal. `@supabase/lite` prints each failed query.
 */
export function withConsole<Result>(log: Log, work: () => Result): Result {
  install();
  return redirection.run(log, work);
}

function install(): void {
  if (isInstalled) return;
  isInstalled = true;
  for (const method of METHODS) {
    const original = console[method].bind(console);
    console[method] = (...values: unknown[]) => {
      const log = redirection.getStore();
      if (log === undefined) original(...values);
      else log(format(...values));
    };
  }
}
