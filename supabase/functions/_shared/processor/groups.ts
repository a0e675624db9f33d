import type { Fetcher } from "../fetchers/contract.ts";
import { createEdgeFunctionFetcher, type EdgeFunctions } from "./edge_function_fetcher.ts";
import type { ClaimedJob, JobError } from "../queue_client.ts";

/** Jobs of one type that share one group of vendor calls. Never empty. */
export interface JobGroup {
  fetcher: Fetcher;
  dataType: string;
  jobs: ClaimedJob[];
}

/** What is to be done with the jobs of one claim. */
export interface GroupPlan {
  /** Most urgent first. */
  groups: JobGroup[];
  /** Jobs that no fetcher can serve. */
  refused: { job: ClaimedJob; error: JobError }[];
  /** Jobs that the granted calls do not cover; they are to be given back. */
  surplus: ClaimedJob[];
  warnings: string[];
  /** Jobs that one group takes, on average over this claim: 1 without batch endpoints. */
  jobsPerGroup: number;
}

/**
 * Groups the jobs of one claim, in their order.
 *
 * The claim was granted one group of calls per `batch_size` jobs of a type. Where the fetcher takes
 * fewer symbols than that, or jobs have to go in smaller groups, the groups beyond the grant are
 * surplus: fetching them would break the vendor's limit.
 *
 * `largestGroup` says how many jobs may be in a group with this one; default: as many as fit.
 * Without `edgeFunctions` jobs that an Edge Function fetches are refused.
 */
export function planGroups(
  jobs: readonly ClaimedJob[],
  fetchers: Readonly<Record<string, Fetcher>>,
  largestGroup: (job: ClaimedJob) => number = () => Infinity,
  edgeFunctions?: EdgeFunctions,
): GroupPlan {
  const plan: GroupPlan = {
    groups: [],
    refused: [],
    surplus: [],
    warnings: [],
    jobsPerGroup: 1,
  };
  let fetchable = 0;
  let wholeGroups = 0;
  for (const [dataType, ofType] of Map.groupBy(jobs, (job) => job.data_type)) {
    const [first] = ofType;
    if (first === undefined) continue;
    const fetcher = fetcherOf(first, fetchers, edgeFunctions);
    if (fetcher === undefined) {
      plan.refused.push(...ofType.map((job) => ({ job, error: refusal(job, fetchers) })));
      continue;
    }
    if (fetcher.callsPerBatch > first.api_calls_per_batch) {
      plan.refused.push(
        ...ofType.map((job) => ({ job, error: tooManyCalls(job, fetcher.callsPerBatch) })),
      );
      continue;
    }
    const capacity = Math.max(1, Math.min(first.batch_size, fetcher.maxSymbolsPerCall));
    fetchable += ofType.length;
    wholeGroups += ofType.length / capacity;

    const split = splitByCapacity(ofType, (job) => Math.min(capacity, largestGroup(job)));
    const granted = Math.ceil(ofType.length / first.batch_size);
    plan.groups.push(...split.slice(0, granted).map((jobs) => ({ fetcher, dataType, jobs })));
    plan.surplus.push(...split.slice(granted).flat());
    if (first.batch_size > fetcher.maxSymbolsPerCall) {
      plan.warnings.push(
        `Data type "${dataType}" has batch_size ${first.batch_size}, but its fetcher takes ` +
          `${fetcher.maxSymbolsPerCall} per call; set data_type_registry_v2.batch_size to ` +
          `${fetcher.maxSymbolsPerCall}`,
      );
    }
  }
  const place = new Map(jobs.map((job, index) => [job, index]));
  const placeOf = (group: JobGroup) => group.jobs[0] === undefined ? 0 : place.get(group.jobs[0])!;
  plan.groups.sort((left, right) => placeOf(left) - placeOf(right));
  if (wholeGroups > 0) plan.jobsPerGroup = fetchable / wholeGroups;
  return plan;
}

function fetcherOf(
  job: ClaimedJob,
  fetchers: Readonly<Record<string, Fetcher>>,
  edgeFunctions: EdgeFunctions | undefined,
): Fetcher | undefined {
  if (job.fetcher === "edge-function" && job.edge_function_name !== null && edgeFunctions) {
    return createEdgeFunctionFetcher(
      job.data_type,
      job.edge_function_name,
      edgeFunctions,
      job.api_calls_per_batch,
    );
  }
  return Object.hasOwn(fetchers, job.fetcher) ? fetchers[job.fetcher] : undefined;
}

function refusal(job: ClaimedJob, fetchers: Readonly<Record<string, Fetcher>>): JobError {
  const known = Object.keys(fetchers).sort().map((name) => `"${name}"`).join(", ");
  const [code, problem] = job.fetcher === "edge-function"
    ? [
      "edge_function_not_supported",
      `it is fetched by the Edge Function "${job.edge_function_name}", ` +
      "which this processor was not told how to call",
    ]
    : ["unknown_fetcher", `the processor has no fetcher "${job.fetcher}"`];
  return {
    class: "permanent",
    code,
    message: `Cannot refresh ${job.data_type} for "${job.symbol}": ${problem}; ` +
      `set data_type_registry_v2.fetcher to one of ${known}`,
    retry_after_seconds: null,
  };
}

/** More calls than the claim was granted: making them would break the vendor's limit. */
function tooManyCalls(job: ClaimedJob, calls: number): JobError {
  return {
    class: "permanent",
    code: "calls_not_granted",
    message:
      `Cannot refresh ${job.data_type} for "${job.symbol}": its fetcher makes ${calls} vendor ` +
      `calls, the registry grants ${job.api_calls_per_batch}; ` +
      `set data_type_registry_v2.api_calls_per_batch to ${calls}`,
    retry_after_seconds: null,
  };
}

function splitByCapacity(
  jobs: readonly ClaimedJob[],
  capacityOf: (job: ClaimedJob) => number,
): ClaimedJob[][] {
  const groups: ClaimedJob[][] = [];
  let current: ClaimedJob[] = [];
  let room = 0;
  for (const job of jobs) {
    const capacity = Math.max(1, capacityOf(job));
    room = Math.min(room, capacity - current.length);
    if (room <= 0) {
      current = [];
      groups.push(current);
      room = capacity;
    }
    current.push(job);
    room -= 1;
  }
  return groups;
}
