import { createHash, timingSafeEqual } from "node:crypto";
import { type Env, publicKeys, secretKeys } from "./env.ts";

/** Compares two texts in a time that tells nothing about them, not even their length. */
export function sameSecret(left: string, right: string): boolean {
  return timingSafeEqual(digest(left), digest(right));
}

/**
 * True when the request carries one of the project's secret keys: a secret key or the legacy
 * service role key, in the header `apikey` or as bearer token.
 *
 * Throws EnvError when the function knows no secret key. Synchronous, so that a forgotten `await`
 * cannot let everybody in.
 */
export function callerHasSecretKey(request: Request, env: Env): boolean {
  return carriesOneOf(request, secretKeys(env).accepted);
}

/**
 * True when the request carries the anon key or a publishable key, in the header `apikey` or as
 * bearer token, or a secret key. Browsers carry these keys, so this keeps out only strangers.
 *
 * Throws EnvError when the function knows no such key.
 */
export function callerHasAnonKey(request: Request, env: Env): boolean {
  return carriesOneOf(request, [...publicKeys(env).accepted, ...secretKeys(env).accepted]);
}

function carriesOneOf(request: Request, keys: readonly string[]): boolean {
  const bearer = /^Bearer\s+(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  const carried = [request.headers.get("apikey"), bearer]
    .map((text) => text?.trim() ?? "")
    .filter((text) => text !== "");
  // Every pair is compared, so that the time does not tell which key matched.
  return carried
    .flatMap((text) => keys.map((key) => sameSecret(text, key)))
    .includes(true);
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}
