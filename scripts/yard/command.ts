/**
 * What a command of `npm run yard -- <command>` is.
 *
 * One file of this folder per command, which exports what {@linkcode defineCommand} returns, and one
 * line in the list of `commands.ts`. A command gets parsed options and returns an {@linkcode Answer}:
 * a value for `--json` and lines for people, of which the frame prints one. It prints nothing itself,
 * except for progress. `--json` and `--help` exist on every command and are not listed in `options`.
 *
 * The usage of each begins with `Usage: npm run yard -- <name>`, has a line for `--json` and one for
 * `--help`, and ends with `Exit status: 0 …` (tests/yard/terminal_test.ts asks for it).
 *
 * How it ends:
 *   - an answer: exit status 0, or 1 where `status` says so
 *   - {@linkcode RefusedError}: exit status 1; the message, the detail and the next command to type
 *   - {@linkcode UsageError}: exit status 2; the message and the usage of the command
 *   - a database error: exit status 1 with its message, detail and hint
 *   - interrupted (Ctrl-C): exit status 130
 *
 * Around it, for every command:
 *   - `database.ts`: `DATABASE_OPTIONS`, `withDatabase(invocation, work)`: a connection from `--db-url`,
 *     SUPABASE_DB_URL or DATABASE_URL, never printed with its password
 *   - `project.ts`: `PROJECT_OPTIONS`, `openProject(invocation)`: the repository of `--workdir` with its
 *     `supabase/` folder, its migrations, and fresh versions that sort behind them
 *   - `manifest.ts`: `supabase/switchyard.json`, what `install` put where, with hashes
 *   - `config_toml.ts`: sections of `supabase/config.toml` added and removed, the rest left as it is
 *   - `../format.ts`: tables, durations, counts
 *
 * ```ts
 * export const finalize = defineCommand({
 *   name: "finalize",
 *   summary: "write the migration that drops _v2 from every name",
 *   usage: "Usage: npm run yard -- finalize [--workdir <folder>] [--dry-run]\n\n…",
 *   options: { ...PROJECT_OPTIONS, ...DATABASE_OPTIONS, "dry-run": { type: "boolean" } },
 *   async run(invocation) {
 *     const project = await openProject(invocation);
 *     if (invocation.values["dry-run"]) …
 *     return { json: { … }, lines: ["Wrote …"] };
 *   },
 * });
 * ```
 */
import { parseArgs } from "node:util";

/** An option as `node:util` parseArgs takes it. */
export interface Option {
  type: "boolean" | "string";
  short?: string;
  multiple?: boolean;
}

export type Options = Readonly<Record<string, Option>>;

/** The parsed values of options. A boolean that was not given is undefined. */
export type Values<Given extends Options> = {
  readonly [Name in keyof Given]?: Given[Name]["multiple"] extends true ? string[]
    : Given[Name]["type"] extends "boolean" ? boolean
    : string;
};

/** Marks up text for a terminal; elsewhere the text stays as it is. */
export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  green(text: string): string;
  yellow(text: string): string;
  red(text: string): string;
}

/** Where a command runs. */
export interface Surroundings {
  /** The folder in which the user typed the command. */
  cwd: string;
  env: { get(name: string): string | undefined };
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** Says how far long work is, on a terminal only. */
  progress(text: string): void;
  /** Says at once, on standard error, what it waits for. */
  tell(text: string): void;
  paint: Paint;
}

export interface Invocation<Given extends Options = Options> extends Surroundings {
  values: Values<Given>;
  positionals: readonly string[];
}

/** What a command has to say. */
export interface Answer {
  /** Printed, as it is, with `--json`. */
  json: unknown;
  /** Printed otherwise. */
  lines: readonly string[];
  /** 1: refused or failed. Default: 0. */
  status?: 0 | 1;
}

export interface Command {
  name: string;
  /** One line for the list of commands: lower case, no full stop. */
  summary: string;
  /** What `--help` prints; begins with `Usage: npm run yard -- <name>`. */
  usage: string;
  /** Parses the arguments behind the command's name and runs it. */
  execute(args: readonly string[], surroundings: Surroundings): Promise<Answer>;
}

export interface Definition<Given extends Options> {
  name: string;
  summary: string;
  usage: string;
  options: Given;
  /** Names of the arguments without dashes that must be given. Default: none. */
  positionals?: readonly string[];
  /** Names of those that may follow. Default: none. */
  optionalPositionals?: readonly string[];
  run(invocation: Invocation<Given>): Promise<Answer>;
}

/** The command was typed wrongly. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** The command was understood, and cannot or must not be done. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  /** What was found. */
  readonly detail: string | undefined;
  /** What to type next, or to do. */
  readonly next: string | undefined;
  /** SQLSTATE, where it was the database that refused. */
  readonly code: string | undefined;

  constructor(
    message: string,
    more: { detail?: string; next?: string; code?: string; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? {} : { cause: more.cause });
    this.detail = more.detail;
    this.next = more.next;
    this.code = more.code;
  }
}

/** Makes a command of its definition. */
export function defineCommand<const Given extends Options>(definition: Definition<Given>): Command {
  const { name, summary, usage, options } = definition;
  const wanted = definition.positionals ?? [];
  const possible = definition.optionalPositionals ?? [];
  return {
    name,
    summary,
    usage,
    execute(args, surroundings) {
      let values, positionals;
      try {
        ({ values, positionals } = parseArgs({
          args: [...args],
          allowPositionals: true,
          options: { ...options, json: { type: "boolean" } },
        }));
      } catch (error) {
        throw new UsageError(messageOf(error));
      }
      if (
        positionals.length < wanted.length ||
        positionals.length > wanted.length + possible.length
      ) {
        const list = [
          ...wanted.map((word) => `<${word}>`),
          ...possible.map((word) => `[<${word}>]`),
        ].join(" ") || "none";
        throw new UsageError(
          `Cannot ${name}: found ${quoted(positionals)}, wanted ${list}`,
        );
      }
      return definition.run({ ...surroundings, values: values as Values<Given>, positionals });
    },
  };
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === "") {
    return error.errors.map(messageOf).join(", ");
  }
  return error instanceof Error ? error.message : String(error);
}

function quoted(words: readonly string[]): string {
  return words.length === 0 ? "no argument" : words.map((word) => `"${word}"`).join(" ");
}
