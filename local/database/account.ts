/** The operating system account that runs Postgres; undefined means our own. */
export interface Account {
  uid: number;
  gid: number;
}

/**
 * Account for a Postgres process, which refuses to run as root: undefined for an ordinary user,
 * `nobody` for root. initdb looks its user up, so the account must be one that exists.
 * Data that is there already (`dataDir`) is run by its owner.
 */
export async function accountFor(dataDir?: string): Promise<Account | undefined> {
  if (Deno.uid() !== 0) return undefined;
  if (dataDir !== undefined) {
    const { uid, gid } = await Deno.stat(dataDir);
    if (uid !== null && gid !== null && uid !== 0) return { uid, gid };
  }
  for (const line of (await Deno.readTextFile("/etc/passwd")).split("\n")) {
    const [name, , uid, gid] = line.split(":");
    if (name === "nobody") return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(
    "Cannot start Postgres as root: /etc/passwd has no user nobody to run it; start as an ordinary user",
  );
}

/** Gives a file or folder to the account. */
export async function giveTo(path: string, account: Account | undefined): Promise<void> {
  if (account !== undefined) await Deno.chown(path, account.uid, account.gid);
}
