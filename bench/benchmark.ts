import type { Workbench } from "./workbench.ts";

/** One measured number. This is what `--json` prints. */
export interface Result {
  /** Unique within a run: the benchmark's name, and what of it where it measures several things. */
  name: string;
  value: number;
  unit: string;
  /** What `value` has to keep, or `ratio` where it names the peer; null: for information. */
  target: string | null;
  /** What was measured beside it in the same run; null when there is nothing to compare with. */
  peer: string | null;
  /** In the same unit. */
  peer_value: number | null;
  /** `value / peer_value`. */
  ratio: number | null;
  /** Whether the target holds; null without target. */
  met: boolean | null;
}

/** What a benchmark found out. */
export interface Findings {
  results: Result[];
  /** Sentences for the document: sizes, settings, single rounds. */
  details: string[];
}

/** Something that can be measured. */
export interface Benchmark {
  /** As `--only` knows it. */
  name: string;
  /** What is measured, for a table: `Enqueue, set-based`. */
  title: string;
  /** How it is measured, in a few sentences for the document. */
  method: string;
  /** Whether it needs the packages of this folder. */
  usesPeers: boolean;
  run(workbench: Workbench): Promise<Findings>;
}

/** A result beside a peer. Without `target` it is for information. */
export function beside(
  peer: { name: string; value: number },
  result: { name: string; value: number; unit: string },
  target?: { text: string; isMet: (value: number, ratio: number) => boolean },
): Result {
  const ratio = result.value / peer.value;
  return {
    ...result,
    target: target?.text ?? null,
    peer: peer.name,
    peer_value: peer.value,
    ratio,
    met: target?.isMet(result.value, ratio) ?? null,
  };
}

/** A result that stands alone. */
export function alone(
  result: { name: string; value: number; unit: string },
  target: { text: string; isMet: (value: number) => boolean },
): Result {
  return {
    ...result,
    target: target.text,
    peer: null,
    peer_value: null,
    ratio: null,
    met: target.isMet(result.value),
  };
}
