import { Buffer } from "node:buffer";
import postgres from "postgres";
import { z } from "zod";

/** Role that a request acts as; row security on `storage.objects` holds for it. */
export type StorageRole = "anon" | "authenticated" | "service_role";

/** The Storage service of one project. */
export interface Storage {
  /** Answers a request below `/storage/v1/`. */
  answer(request: Request, role: StorageRole): Promise<Response>;
}

interface Content {
  bytes: Uint8Array<ArrayBuffer>;
  type: string;
}

const SCHEMA = new URL("storage.sql", import.meta.url);

const listSchema = z.object({
  prefix: z.string().default(""),
  search: z.string().default(""),
  limit: z.int().min(1).max(1_000).default(100),
  offset: z.int().min(0).default(0),
});

/**
 * A documented subset of Storage: upload with and without `x-upsert`, read, `HEAD` and list, on the
 * service's own tables. Errors have the service's shape, with HTTP status 400 and the real one in the
 * body. What files contain is kept in memory; sizes and types that a bucket allows are not checked.
 */
export async function createStorage(sql: postgres.Sql): Promise<Storage> {
  await sql.unsafe(await Deno.readTextFile(SCHEMA));
  const contents = new Map<string, Content>();

  async function upload(request: Request, role: StorageRole, bucket: string, name: string) {
    const content = await contentOf(request);
    const mayReplace = request.headers.get("x-upsert") === "true";
    const metadata = { size: content.bytes.length, mimetype: content.type };
    try {
      const [stored] = await asRole(sql, role, (sql) =>
        sql<{ id: string }[]>`
          insert into storage.objects as o (bucket_id, name, version, metadata)
          values (${bucket}, ${name}, ${crypto.randomUUID()}, ${sql.json(metadata)})
          ${
          mayReplace
            ? sql`on conflict (bucket_id, name) do update
                set version = excluded.version, metadata = excluded.metadata, updated_at = now()`
            : sql``
        }
          returning o.id`);
      contents.set(`${bucket}/${name}`, content);
      return Response.json({ Key: `${bucket}/${name}`, Id: stored?.id });
    } catch (error) {
      switch (codeOf(error)) {
        case "23505":
          return problem("409", "Duplicate", "The resource already exists");
        case "23503":
          return problem("404", "Bucket not found", "Bucket not found");
        case "42501":
          return problem("403", "Unauthorized", "new row violates row-level security policy");
        default:
          throw error;
      }
    }
  }

  async function read(role: StorageRole, bucket: string, name: string, isPublic: boolean) {
    const rows = await asRole(
      sql,
      isPublic ? "service_role" : role,
      (sql) =>
        sql`select from storage.objects as o join storage.buckets as b on b.id = o.bucket_id
           where o.bucket_id = ${bucket} and o.name = ${name} and (b.public or not ${isPublic})`,
    );
    const content = contents.get(`${bucket}/${name}`);
    if (rows.length === 0 || content === undefined) {
      return problem("404", "not_found", "Object not found");
    }
    return new Response(content.bytes, { headers: { "content-type": content.type } });
  }

  async function list(request: Request, role: StorageRole, bucket: string) {
    const parsed = listSchema.safeParse(await request.json());
    if (!parsed.success) return problem("400", "Error", "body does not fit");
    const { prefix, search, limit, offset } = parsed.data;
    const folder = prefix === "" || prefix.endsWith("/") ? prefix : `${prefix}/`;
    const files = await asRole(sql, role, (sql) =>
      sql`
        select substr(o.name, ${folder.length + 1}) as name, o.id, o.created_at, o.updated_at,
               o.last_accessed_at, o.metadata
          from storage.objects as o
         where o.bucket_id = ${bucket} and starts_with(o.name, ${folder})
           and strpos(substr(o.name, ${folder.length + 1}), '/') = 0
           and strpos(lower(o.name), lower(${search})) > 0
         order by o.name limit ${limit} offset ${offset}`);
    return Response.json(files);
  }

  return {
    async answer(request, role) {
      const path = new URL(request.url).pathname.slice("/storage/v1/".length);
      const parts = path.split("/").map(decodeURIComponent);
      const [kind, access, ...rest] = parts;
      if (kind !== "object" || access === undefined) return noRoute(request);
      const [bucket, ...names] = ["public", "authenticated", "list"].includes(access)
        ? rest
        : [access, ...rest];
      const name = names.join("/");
      if (bucket === undefined) return noRoute(request);
      if (access === "list" && request.method === "POST") return await list(request, role, bucket);
      if (name === "") return noRoute(request);
      switch (request.method) {
        case "POST":
          return await upload(request, role, bucket, name);
        case "GET":
        case "HEAD":
          return await read(role, bucket, name, access === "public");
        default:
          return noRoute(request);
      }
    },
  };
}

/** Runs a query as a role, whose rights and row security hold. */
async function asRole<Row extends postgres.MaybeRow[]>(
  sql: postgres.Sql,
  role: StorageRole,
  query: (sql: postgres.TransactionSql) => PromiseLike<Row>,
): Promise<Row> {
  let rows: Row | undefined;
  await sql.begin(async (sql) => {
    await sql`select set_config('role', ${role}, true)`;
    rows = await query(sql);
  });
  return rows!;
}

/** The body itself, or the file of a form, as the client library sends blobs. */
async function contentOf(request: Request): Promise<Content> {
  const type = request.headers.get("content-type") ?? "application/octet-stream";
  if (!type.startsWith("multipart/form-data")) {
    return { bytes: new Uint8Array(await request.arrayBuffer()), type };
  }
  // The library gives the file an empty name, and Deno drops fields without one.
  const body = Buffer.from(await request.arrayBuffer()).toString("latin1");
  const named = Buffer.from(body.replace('name="";', 'name="file";'), "latin1");
  const form = await new Response(named, { headers: { "content-type": type } }).formData();
  for (const value of form.values()) {
    if (value instanceof File) {
      return { bytes: new Uint8Array(await value.arrayBuffer()), type: value.type };
    }
  }
  return { bytes: new Uint8Array(), type: "application/octet-stream" };
}

function problem(statusCode: string, error: string, message: string): Response {
  return Response.json({ statusCode, error, message }, { status: 400 });
}

function noRoute(request: Request): Response {
  const { pathname } = new URL(request.url);
  return Response.json(
    {
      statusCode: "404",
      error: "Not Found",
      message: `Route ${request.method}:${pathname.slice("/storage/v1".length)} not found`,
    },
    { status: 404 },
  );
}

function codeOf(error: unknown): string | undefined {
  return error instanceof postgres.PostgresError ? error.code : undefined;
}
