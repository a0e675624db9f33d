import postgres from "postgres";
import {
  type Answer,
  type Command,
  messageOf,
  type Paint,
  RefusedError,
  type Surroundings,
  UsageError,
} from "./command.ts";
import { COMMANDS } from "./commands.ts";

const OK = 0;
const REFUSED = 1;
const WRONG_USAGE = 2;
const INTERRUPTED = 130;

/** Runs the command that the arguments begin with. Returns the exit status. */
export async function runYard(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) {
    printError(`Cannot run: found no command\n\n${overview()}`);
    return WRONG_USAGE;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    const of = COMMANDS.find((known) => known.name === rest[0]);
    print(of?.usage ?? overview());
    return OK;
  }
  const command = COMMANDS.find((known) => known.name === name);
  if (command === undefined) {
    printError(`Cannot run "${name}": no such command${suggestion(name)}\n\n${overview()}`);
    return WRONG_USAGE;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    print(command.usage);
    return OK;
  }
  return await execute(command, rest);
}

async function execute(command: Command, args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort(new Error("Interrupted"));
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  const progress = openProgress();
  try {
    const answer = await command.execute(args, surroundings(interrupted.signal, progress, json));
    progress.clear();
    printAnswer(answer, json);
    return answer.status ?? OK;
  } catch (error) {
    progress.clear();
    if (interrupted.signal.aborted) {
      printError("Interrupted");
      return INTERRUPTED;
    }
    if (error instanceof UsageError) {
      if (json) printJson({ error: { message: error.message } });
      printError(`${error.message}\n\n${command.usage}`);
      return WRONG_USAGE;
    }
    const failure = describe(error, command);
    if (json) printJson({ error: failure });
    const paint = paintFor(Deno.stderr.isTerminal());
    printError([
      paint.red(failure.message),
      ...(failure.detail === undefined ? [] : indented(failure.detail)),
      ...(failure.next === undefined ? [] : [`Next: ${failure.next}`]),
    ].join("\n"));
    return REFUSED;
  } finally {
    for (const signal of signals) Deno.removeSignalListener(signal, interrupt);
  }
}

interface Failure {
  message: string;
  detail?: string;
  next?: string;
  /** SQLSTATE, where the database refused. */
  code?: string;
}

function describe(error: unknown, command: Command): Failure {
  if (error instanceof RefusedError) {
    const { message, detail, next, code } = error;
    return {
      message,
      ...(detail === undefined ? {} : { detail }),
      ...(next === undefined ? {} : { next }),
      ...(code === undefined ? {} : { code }),
    };
  }
  if (error instanceof postgres.PostgresError) {
    const { message, detail, hint, code } = error;
    const next = hint ?? (code === "42501" ? "connect as role postgres" : undefined);
    return {
      message: message.startsWith("Cannot ") ? message : `Cannot ${command.name}: ${message}`,
      ...(detail ? { detail } : {}),
      ...(next ? { next } : {}),
      code,
    };
  }
  return { message: `Cannot ${command.name}: ${messageOf(error)}` };
}

function surroundings(signal: AbortSignal, progress: Progress, json: boolean): Surroundings {
  return {
    // npm runs scripts in the checkout, wherever it was called.
    cwd: Deno.env.get("INIT_CWD") || Deno.cwd(),
    env: Deno.env,
    signal,
    progress: progress.show,
    tell(text) {
      progress.clear();
      printError(text);
    },
    paint: paintFor(Deno.stdout.isTerminal() && !json),
  };
}

function printAnswer({ json, lines }: Answer, wantsJson: boolean): void {
  if (wantsJson) printJson(json);
  else print(lines.join("\n"));
}

interface Progress {
  show(text: string): void;
  clear(): void;
}

/** One line on the terminal, rewritten in place; nothing elsewhere. */
function openProgress(): Progress {
  const isTerminal = Deno.stderr.isTerminal();
  let isShown = false;
  const write = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  return {
    show(text) {
      if (!isTerminal) return;
      write(`\r\x1b[K${text}`);
      isShown = true;
    },
    clear() {
      if (isShown) write("\r\x1b[K");
      isShown = false;
    },
  };
}

function paintFor(isTerminal: boolean): Paint {
  const isColoured = isTerminal && !Deno.env.get("NO_COLOR");
  const with_ = (code: number) => (text: string) =>
    isColoured && text !== "" ? `\x1b[${code}m${text}\x1b[0m` : text;
  return { bold: with_(1), dim: with_(2), red: with_(31), green: with_(32), yellow: with_(33) };
}

function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    "Usage: npm run yard -- <command> [options]",
    "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    "npm run yard -- <command> --help tells its options; --json prints one JSON value, and nothing",
    "else, on standard output.",
    "",
    "Exit status: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted",
  ].join("\n");
}

/** The command that was probably meant. */
function suggestion(name: string): string {
  const near = COMMANDS.find((known) =>
    known.name.startsWith(name) || name.startsWith(known.name) || distance(known.name, name) <= 2
  );
  return near === undefined ? "" : `; did you mean "${near.name}"?`;
}

/** Letters to insert, remove or replace between two words. */
function distance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i++) {
    const next = [i];
    for (let j = 1; j <= other.length; j++) {
      const replaced = row[j - 1]! + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[other.length]!;
}

function indented(text: string): string[] {
  return text.split("\n").map((line) => `  ${line}`);
}

function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

function print(text: string): void {
  writeAll(Deno.stdout, `${text}\n`);
}

function printError(text: string): void {
  writeAll(Deno.stderr, `${text}\n`);
}

/** A pipe may take less than all at once; one that was closed (`| head`) takes no more. */
function writeAll(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += stream.writeSync(bytes.subarray(written));
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
