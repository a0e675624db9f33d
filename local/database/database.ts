/** A running Postgres server that the local stack uses. */
export interface Database {
  /** Superuser `supabase_admin`. */
  adminUrl: string;
  /** Role `postgres`, which people and migrations use; the platform SQL creates it. */
  url: string;
  port: number;
  kind: "embedded" | "external";
  /** Stops an embedded server and removes temporary data; leaves an external one running. */
  stop(): Promise<void>;
}

/** Password of `supabase_admin` and `postgres` on servers that listen on 127.0.0.1 only. */
export const LOCAL_PASSWORD = "postgres";

/** Connection string of a role on the local server. */
export function localUrl(role: string, port: number, database = "postgres"): string {
  return `postgresql://${role}:${LOCAL_PASSWORD}@127.0.0.1:${port}/${database}`;
}
