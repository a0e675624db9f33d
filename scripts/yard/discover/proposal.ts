export type Confidence = "high" | "medium" | "low";

/** A guess, how sure it is, and why. */
export interface Guess<Value> {
  value: Value;
  confidence: Confidence;
  /** Each a clause in words. */
  reasons: string[];
  /** What else it may be. */
  alternatives: string[];
}

/** A registry row that may be right. */
export interface Proposal {
  dataType: string;
  functionName: string;
  /** Named jobs, and the ids of those without a name as `#12`. */
  jobs: string[];
  /** Names of those that may rest as a whole. */
  legacyCronJobs: string[];
  table: Guess<string>;
  /** Null: global, one job refreshes all rows. */
  symbolColumn: Guess<string | null>;
  timestampColumn: Guess<string>;
  conflictColumns: Guess<string[]>;
  ttlMinutes: Guess<number>;
  strategy: "scheduled" | "hybrid";
  provider: Guess<string>;
  /** Data type whose rows must be there first. */
  dependsOn: string | null;
  estimatedBytes: number;
  /** The least of table, symbol, timestamp and conflict columns. */
  confidence: Confidence;
  /** What its owner should know or decide. */
  notes: string[];
}

/** A function that cron calls and that no row can be proposed for. */
export interface Unproposed {
  functionName: string | null;
  jobs: string[];
  reason: string;
}

export interface KnownSymbols {
  table: string;
  column: string;
  activeColumn: string | null;
  reasons: string[];
}

export interface Discovery {
  proposals: Proposal[];
  unproposed: Unproposed[];
  /** Jobs of functions that the registry names already: function, data type. */
  registered: { functionName: string; dataType: string }[];
  /** Other jobs, that call no Edge Function. */
  otherJobs: number;
  /** The table that lists the symbols; null where none lists them all, undefined where one is set. */
  knownSymbols: KnownSymbols | null | undefined;
  /** Why no table lists all symbols. */
  symbolNotes: string[];
  /** Behind the names of the registry and the providers; empty once Switchyard is finalized. */
  suffix: "_v2" | "";
  notes: string[];
}
