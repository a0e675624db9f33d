/** Keys of one local project. */
export interface Keys {
  /** Legacy key of browsers: an HS256 JWT with the role `anon`. */
  anonKey: string;
  /** Legacy key of servers: an HS256 JWT with the role `service_role`. */
  serviceKey: string;
  /** Opaque `sb_publishable_…` key: role `anon`. */
  publishableKey: string;
  /** Opaque `sb_secret_…` key: role `service_role`. */
  secretKey: string;
  /** Signs the tokens of users and the two legacy keys. */
  jwtSecret: string;
}

export type Claims = Record<string, unknown>;

const TEN_YEARS_SECONDS = 10 * 365 * 24 * 3600;

/** Makes the keys of a new local project: random, so that none is worth keeping. */
export async function createKeys(): Promise<Keys> {
  const jwtSecret = randomText(40);
  const now = Math.floor(Date.now() / 1000);
  const legacy = (role: string) =>
    signToken(
      { iss: "supabase", ref: "local", role, iat: now, exp: now + TEN_YEARS_SECONDS },
      jwtSecret,
    );
  return {
    anonKey: await legacy("anon"),
    serviceKey: await legacy("service_role"),
    publishableKey: `sb_publishable_${randomText(22)}`,
    secretKey: `sb_secret_${randomText(22)}`,
    jwtSecret,
  };
}

/** A signed HS256 token. */
export async function signToken(claims: Claims, secret: string): Promise<string> {
  const signed = `${toBase64Url(encode({ alg: "HS256", typ: "JWT" }))}.${
    toBase64Url(encode(claims))
  }`;
  const signature = await crypto.subtle.sign(
    "HMAC",
    await hmacKey(secret),
    new TextEncoder().encode(signed),
  );
  return `${signed}.${toBase64Url(new Uint8Array(signature))}`;
}

/** The claims of a token that the secret signed and that has not expired; otherwise null. */
export async function verifyToken(token: string, secret: string): Promise<Claims | null> {
  const [header, payload, signature, ...rest] = token.split(".");
  if (header === undefined || payload === undefined || signature === undefined || rest.length > 0) {
    return null;
  }
  const claims = decode(payload);
  if (decode(header)?.["alg"] !== "HS256" || claims === null) return null;
  const bytes = fromBase64Url(signature);
  const isGenuine = bytes !== null && await crypto.subtle.verify(
    "HMAC",
    await hmacKey(secret),
    bytes,
    new TextEncoder().encode(`${header}.${payload}`),
  );
  if (!isGenuine) return null;
  const expiry = claims["exp"];
  return typeof expiry === "number" && expiry * 1000 <= Date.now() ? null : claims;
}

function hmacKey(secret: string): Promise<CryptoKey> {
  return crypto.subtle.importKey(
    "raw",
    new TextEncoder().encode(secret),
    { name: "HMAC", hash: "SHA-256" },
    false,
    ["sign", "verify"],
  );
}

function randomText(length: number): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(length))).slice(0, length);
}

function encode(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function decode(part: string): Claims | null {
  const bytes = fromBase64Url(part);
  if (bytes === null) return null;
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === "object" && value !== null ? value as Claims : null;
  } catch {
    return null; // Not a token, which is an answer and not a failure.
  }
}

function toBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]*$/.test(text)) return null;
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
