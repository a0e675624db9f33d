import { z } from "npm:zod@4.6.7";
import type { AfterAccess, Row } from "./contract.ts";

const BUCKET = "profile-images";

/** Where the vendor keeps its images; a row that names another place is left alone. */
const IMAGE_HOST = "images.financialmodelingprep.com";

/** Logos copied in one go; what is left is copied with a later refresh. */
const MOST_COPIES = 20;

/** Bytes of one logo; the vendor's have a few thousand. */
const MOST_BYTES = 1_000_000;

/** Milliseconds for the download of one logo. */
const DOWNLOAD_MS = 5_000;

/** What PostgREST says when the function is not there: Switchyard is not installed. */
const NO_SUCH_FUNCTION = "PGRST202";

interface Logo {
  symbol: string;
  /** Name of the file in the bucket. */
  name: string;
  url: URL;
}

/**
 * Copies the logos of profiles to the bucket `profile-images`, as `<symbol>.png`, where there is no
 * such file and the vendor says that it is not the default image. At most twenty in one go, a symbol
 * at most once a day, and only from the vendor's own image host over https. What fails is a warning.
 */
export async function copyMissingLogos(
  written: ReadonlyMap<string, readonly Row[]>,
  access: AfterAccess,
): Promise<string[]> {
  const logos = [...written].flatMap(([symbol, rows]) =>
    rows.flatMap((row) => logoOf(symbol, row))
  );
  if (logos.length === 0) return [];
  const warnings: string[] = [];
  try {
    const missing = await missingFiles(logos.map(({ name }) => name), access);
    for (const logo of logos.filter(({ name }) => missing.has(name))) {
      if (access.signal.aborted) break;
      const problem = await copyLogo(logo, access);
      if (problem !== undefined) {
        warnings.push(`The logo of "${logo.symbol}" was not copied: ${problem}`);
      }
    }
  } catch (error) {
    warnings.push(`No logos were copied: ${messageOf(error)}`);
  }
  return warnings;
}

function logoOf(symbol: string, row: Row): Logo[] {
  const { image, default_image: isDefault } = row;
  if (isDefault !== false || typeof image !== "string" || !URL.canParse(image)) return [];
  const url = new URL(image);
  const isVendors = url.protocol === "https:" && url.host === IMAGE_HOST && url.username === "";
  return isVendors ? [{ symbol, name: `${symbol}.png`, url }] : [];
}

/** Those that are to be copied now: the database remembers the attempts of a day. */
async function missingFiles(names: readonly string[], access: AfterAccess): Promise<Set<string>> {
  const { database } = access;
  const { data, error } = await database.rpc("take_missing_files_v2", {
    p_bucket: BUCKET,
    p_names: names,
    p_most: MOST_COPIES,
  });
  if (error === null) return new Set(z.array(z.string()).nullable().parse(data));
  if (error.code !== NO_SUCH_FUNCTION) throw new Error(error.message);
  const missing = new Set<string>();
  for (const name of names.slice(0, MOST_COPIES)) {
    const { data: exists } = await database.storage.from(BUCKET).exists(name);
    if (!exists) missing.add(name);
  }
  return missing;
}

/** Undefined when the file is there afterwards, else what went wrong. */
async function copyLogo(logo: Logo, access: AfterAccess): Promise<string | undefined> {
  try {
    const { bytes, contentType } = await download(logo.url, access);
    const { error } = await access.database.storage.from(BUCKET)
      .upload(logo.name, bytes, { contentType, upsert: false });
    // Somebody else was quicker.
    return error === null || /already exists/i.test(error.message) ? undefined : error.message;
  } catch (error) {
    return messageOf(error);
  }
}

async function download(
  url: URL,
  { fetch, imagesUrl, signal }: AfterAccess,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; contentType: string }> {
  const from = imagesUrl === undefined ? url : `${imagesUrl.replace(/\/+$/, "")}${url.pathname}`;
  const response = await fetch(from, {
    redirect: "manual",
    signal: AbortSignal.any([signal, AbortSignal.timeout(DOWNLOAD_MS)]),
  });
  const contentType = response.headers.get("content-type") ?? "";
  if (!response.ok || !contentType.startsWith("image/")) {
    await response.body?.cancel();
    throw new Error(`the vendor answered ${response.status} with ${contentType || "no type"}`);
  }
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MOST_BYTES) throw new Error(`it has more than ${MOST_BYTES} bytes`);
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(await new Blob(chunks).arrayBuffer());
  return { bytes, contentType };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
