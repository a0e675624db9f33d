import { formatDuration } from "../format.ts";

/** Where a walk through the system reports: a heading per step, facts below it, live progress. */
export interface Terminal {
  /** Begins a step and prints its heading. */
  step(heading: string): void;
  /** Prints one fact of the current step. */
  fact(text: string): void;
  /** Shows how far long work is; on a terminal the line is rewritten in place. */
  progress(text: string): void;
  /** Prints lines as they are. */
  lines(lines: readonly string[]): void;
}

const PROGRESS_EVERY_MS = 2_000;

/** A terminal on standard output. Without a TTY progress is a plain line every two seconds. */
export function openTerminal(): Terminal {
  const isTty = Deno.stdout.isTerminal();
  const bold = (text: string) => isTty ? `\x1b[1m${text}\x1b[0m` : text;
  const started = performance.now();
  let steps = 0;
  let progressAt = 0;
  let lastProgress = "";
  const clear = () => {
    if (isTty && lastProgress !== "") write("\r\x1b[K");
    lastProgress = "";
  };
  return {
    step(heading) {
      clear();
      steps++;
      console.log(
        `\n${bold(`${steps}. ${heading}`)}  (${formatDuration(performance.now() - started)})`,
      );
    },
    fact(text) {
      clear();
      console.log(`   ${text}`);
    },
    progress(text) {
      if (text === lastProgress) return;
      if (isTty) {
        write(`\r\x1b[K   … ${text}`);
        lastProgress = text;
      } else if (performance.now() - progressAt >= PROGRESS_EVERY_MS) {
        console.log(`   … ${text}`);
        progressAt = performance.now();
        lastProgress = text;
      }
    },
    lines(lines) {
      clear();
      for (const line of lines) console.log(line);
    },
  };
}

function write(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(text));
}
