/** Digits of the largest unsigned 64-bit number: with them the order of keys is the order of numbers. */
const NUMBER_DIGITS = 20;

/** Where the number of the database's layout is kept. */
export const FORMAT_KEY = "format";

/** Before the names of workspaces that were removed and still take space. No workspace's name has a dot. */
export const REMOVED = ".removed/";

/** The keys of one workspace in the database. A workspace's name has no slash, so they never meet those of another. */
export class LevelKeys {
  readonly #workspace: string;

  constructor(workspace: string) {
    this.#workspace = workspace;
  }

  /** There when the workspace was removed and still takes space. */
  get removed(): string {
    return `${REMOVED}${this.#workspace}`;
  }

  /** `{epoch, revision, root}` in JSON. */
  get head(): string {
    return `${this.#workspace}/head`;
  }

  /** The value of an entry. */
  entry(key: string): string {
    return `${this.#workspace}/entry/${key}`;
  }

  /** The record of a revision. */
  log(revision: bigint): string {
    return `${this.#workspace}/log/${fixedWidth(revision)}`;
  }

  /** When an entry was created and changed: two f64. */
  times(key: string): string {
    return `${this.#workspace}/times/${key}`;
  }

  /** An answer, by its idempotency key. */
  idempotent(key: string): string {
    return `${this.#workspace}/idem/${key}`;
  }

  /** An idempotency key by time, so that the old ones are found. */
  idempotentAt(timeMs: number, key: string): string {
    return `${this.#workspace}/idem-time/${fixedWidth(BigInt(Math.max(0, Math.floor(timeMs))))}/${key}`;
  }

  /** What is known of a node. */
  node(id: string): string {
    return `${this.#workspace}/node/${id}`;
  }

  /** The state that a node is pinned to; without a node, that at which the workspace is paused. */
  hold(node: string | undefined): string {
    return node === undefined
      ? `${this.#workspace}/pause`
      : `${this.#workspace}/pin/${node}`;
  }

  /** The bounds of everything of a sort: `entry`, `log` … */
  range(
    sort: "entry" | "log" | "times" | "idem" | "idem-time" | "node" | "pin",
  ): {
    readonly gt: string;
    readonly lt: string;
  } {
    // "0" is the character after "/".
    return {
      gt: `${this.#workspace}/${sort}/`,
      lt: `${this.#workspace}/${sort}0`,
    };
  }
}

function fixedWidth(number: bigint): string {
  return number.toString().padStart(NUMBER_DIGITS, "0");
}
