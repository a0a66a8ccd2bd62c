import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import type { Kind } from "../../model/kinds.ts";
import type { ConfigError } from "../../model/violation.ts";
import type { StoredChange } from "../store/store.ts";
import type { Head } from "./state.ts";

/** Creates or wholly replaces a resource: found by its id, else by its natural key. */
export interface PutOperation {
  readonly type: "put";
  readonly resource: Resource;
  /** The id of a resource that has none and is not found. Default: a new UUIDv7. */
  readonly idIfNew?: string;
  /** Where it stands, `kong.yml:3:5`: said in front of what is wrong with it. */
  readonly at?: string;
  /** The paths of the fields to change of one that is there; none or "*": all. Default: all. */
  readonly mask?: readonly string[];
  /** Whether it stands in a file: then nothing is made up that another run would make up differently. Default: false. */
  readonly fromFile?: boolean;
}

/** Deletes a resource, by id or else by name, and what belongs to it. */
export interface DeleteOperation {
  readonly type: "delete";
  readonly kind: Kind;
  readonly id?: string;
  readonly name?: string;
}

/** One step of a transaction. A later one sees what an earlier one did. */
export type Operation = PutOperation | DeleteOperation;

/** How a transaction is to be done. */
export interface TransactOptions {
  /** The head that the caller has seen: another one refuses the transaction. Default: any. */
  readonly expectedRevision?: bigint;
  /** A repeated transaction with this key gets the first answer, for 24 hours. Default: none. */
  readonly idempotencyKey?: string;
  /** Of the whole request; another one under the same key is refused. Default: empty. */
  readonly requestDigest?: string;
  /** Plans everything and changes nothing. Default: false. */
  readonly dryRun?: boolean;
  /** Lets it delete more than half of the workspace. Default: false. */
  readonly allowMassDelete?: boolean;
  /**
   * Hears of each put under a mask when its turn comes: what it puts, with the name of the plugin that it is put into. May
   * throw, and the transaction is not done. Default: nobody does.
   */
  readonly onMasked?: (given: Resource) => void;
  /** For the history. Default: empty. */
  readonly author?: string;
  /** For the history. Default: empty. */
  readonly message?: string;
}

/** How a declarative file is to be applied. */
export interface ApplyOptions extends TransactOptions {
  /** Whether what the files do not name is deleted; when they have select tags, of what has all of these. */
  readonly prune: boolean;
}

/** What happened to one resource. */
export interface ChangeInfo {
  readonly kind: Kind;
  readonly id: string;
  /** The key of its kind; empty when it has none. */
  readonly name: string;
  readonly action: "create" | "update" | "delete";
}

/** Something about an accepted resource that may not be what was meant. */
export interface WarningInfo {
  readonly kind: string;
  readonly id: string;
  readonly name: string;
  readonly field: string;
  readonly message: string;
  /** The nodes it concerns; empty: all. */
  readonly nodes: readonly string[];
  /** Whether these nodes would refuse the revision. Default: they would not. */
  readonly refusing?: boolean;
  /** Where it stands, for declarative files: `kong.yml:12:5`. */
  readonly position: string;
}

/** What a dry run says beside its result. */
interface DryRun {
  /** Of each of the changes, what would be before and after it. */
  readonly details: readonly StoredChange[];
  /** The values that there would be, by key. */
  readonly planned: (key: string) => Uint8Array | undefined;
  /** With everything that is wrong: it would be refused. The changes are those that there would be if it were not. */
  readonly refusal?: ConfigError;
}

/** What a transaction did, or in a dry run would do. */
export interface TransactResult {
  /** The revision that has the changes; the head when there are none. In a dry run the one it would be. */
  readonly revision: bigint;
  /** Ascending by key. */
  readonly changes: readonly ChangeInfo[];
  readonly warnings: readonly WarningInfo[];
  /** The keys of what was put, in the order of the operations. */
  readonly keys: readonly string[];
  /** What only a dry run says. */
  readonly dryRun?: DryRun;
  /** The state after it; in a dry run, and for a repeated request, the head of now. */
  readonly head: Head;
}
