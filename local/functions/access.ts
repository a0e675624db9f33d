import { verifyToken } from "../gateway/keys.ts";

/** What the platform's check before a function needs to know. */
export interface AccessRules {
  /** API keys that pass without being a JWT, and the legacy keys. */
  apiKeys: string[];
  /** Signs user tokens; without it no token but the legacy keys is valid. */
  jwtSecret: string | undefined;
}

/**
 * The check of `verify_jwt = true`: null when the request may pass, else the 401 answer.
 * It lets API keys through on either header, as the platform does, so it does not tell who calls.
 */
export async function checkAccess(request: Request, rules: AccessRules): Promise<Response | null> {
  if (request.method === "OPTIONS") return null;
  const authorization = request.headers.get("authorization");
  const apiKey = request.headers.get("apikey");
  const token = authorization?.replace(/^Bearer\s+/i, "") ?? apiKey;
  if (token === null) return refuse("Missing authorization header");
  if (rules.apiKeys.includes(token)) return null;
  if (apiKey !== null && rules.apiKeys.includes(apiKey) && !apiKey.includes(".")) return null;
  const claims = rules.jwtSecret === undefined ? null : await verifyToken(token, rules.jwtSecret);
  return claims === null ? refuse("Invalid JWT") : null;
}

function refuse(message: string): Response {
  return Response.json({ code: 401, message }, { status: 401 });
}
