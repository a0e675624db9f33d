import assert from "node:assert/strict";
import {
  type FmpSimulator,
  type FmpSimulatorOptions,
  startFmpSimulator,
} from "../../local/fmp/simulator.ts";
import { eventually } from "../eventually.ts";

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type Row = Record<string, Json>;

/** A Monday with the American exchanges open. */
export const clock = () => new Date("2026-06-08T15:04:05Z");

export interface Answer {
  status: number;
  body: string;
  contentType: string;
  retryAfter: string | null;
}

/** A simulator without latency and with a clock that stands still, stopped at the end of a scope. */
export async function start(options: FmpSimulatorOptions): Promise<FmpSimulator & AsyncDisposable> {
  const simulator = await startFmpSimulator({ latencyMs: 0, now: clock, ...options });
  // Object.assign would read the getters once; a prototype keeps them alive.
  return Object.create(simulator, {
    [Symbol.asyncDispose]: { value: () => simulator.stop() },
  });
}

export function authorised(simulator: FmpSimulator, path: string): string {
  return `${simulator.url}/${path}${path.includes("?") ? "&" : "?"}apikey=${simulator.apiKey}`;
}

export async function fetchAnswer(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  return {
    status: response.status,
    body: await response.text(),
    contentType: response.headers.get("content-type") ?? "",
    retryAfter: response.headers.get("retry-after"),
  };
}

/** The rows of an answer that a fault changed; it may be something else than an array. */
export async function jsonOf(simulator: FmpSimulator, path: string): Promise<Json> {
  return JSON.parse((await call(simulator, path)).body);
}

/** Asks the control paths; a body makes it a POST. */
export function steer(simulator: FmpSimulator, path: string, body?: unknown): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const init = body === undefined ? {} : { method: "POST", body: text };
  return fetchAnswer(`${simulator.controlUrl}/${path}`, init);
}

export function call(simulator: FmpSimulator, path: string): Promise<Answer> {
  return fetchAnswer(authorised(simulator, path));
}

export async function rowsOf(simulator: FmpSimulator, path: string): Promise<Row[]> {
  const answer = await call(simulator, path);
  assert.equal(answer.status, 200, `${path}: ${answer.body}`);
  return JSON.parse(answer.body);
}

export async function oneRow(simulator: FmpSimulator, path: string): Promise<Row> {
  const [row, ...more] = await rowsOf(simulator, path);
  assert.ok(row && more.length === 0, `${path} does not answer one row`);
  return row;
}

export function isRow(value: Json | undefined): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Waits until a condition holds. */
export async function until(condition: () => boolean): Promise<void> {
  await eventually(`${condition}`, () => condition() || undefined);
}
