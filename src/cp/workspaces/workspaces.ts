import { describeCursor } from "../../model/cursor.ts";
import { SLICE_ENTRIES, type Slices } from "../../model/slices.ts";
import { Snapshot } from "../../model/snapshot.ts";
import { ConfigError } from "../../model/violation.ts";
import { driveSlices } from "../../runtime/slices.ts";
import type { AdminWorkspaces } from "../admin/deps.ts";
import type { Head } from "../catalog/state.ts";
import { DEFAULT_WORKSPACE } from "../control-plane-files.ts";
import type {
  FirstRevision,
  LoadedWorkspace,
  StoredChange,
  StoredHead,
} from "../store/store.ts";
import { Workspace, type WorkspaceOptions } from "./workspace.ts";

/** Workspaces of a control plane, at most: each takes memory, and time at the start. */
const MAX_WORKSPACES = 1_000;

/** One that is there and cannot be served. */
export interface UnavailableWorkspace {
  readonly name: string;
  /** Why not, and what to do. */
  readonly reason: string;
}

/** Who makes a change and why, for the history. */
export interface Note {
  readonly author: string;
  readonly message: string;
}

/**
 * All workspaces of a control plane. Each has its own history, epoch, writer and nodes: what goes wrong with one is its
 * own trouble. They share the store's disk, and what the Reception bounds for the process.
 */
export class Workspaces implements AdminWorkspaces, AsyncDisposable {
  readonly #options: WorkspaceOptions;
  readonly #served = new Map<string, Workspace>();
  readonly #unavailable = new Map<string, UnavailableWorkspace>();
  /** What is being done about the existence of each: one thing after the other. */
  readonly #changing = new Map<string, Promise<unknown>>();
  readonly #stopping = new AbortController();

  private constructor(options: WorkspaceOptions) {
    this.#options = options;
  }

  /**
   * Opens all workspaces that the store has, and the default one if need be. One that is damaged does not keep the others
   * from being served.
   *
   * @throws ConfigError when none can be served.
   */
  static async open(options: WorkspaceOptions): Promise<Workspaces> {
    const { store } = options;
    const workspaces = new Workspaces(options);
    try {
      const names = new Set(await store.workspaces());
      names.add(DEFAULT_WORKSPACE);
      const failures: unknown[] = [];
      for (const name of names)
        await workspaces.#open(name).catch((error: unknown) => {
          failures.push(error);
          workspaces.#declare(name, error);
        });
      if (workspaces.#served.size === 0) throw failures[0];
      for (const name of await store.removed()) workspaces.#reclaim(name);
      return workspaces;
    } catch (error) {
      await workspaces[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * A workspace that is served.
   *
   * @throws ConfigError when there is none of that name, or it cannot be served.
   */
  get(name: string): Workspace {
    const workspace = this.#served.get(name);
    if (workspace !== undefined) return workspace;
    const unavailable = this.#unavailable.get(name);
    if (unavailable !== undefined)
      throw new ConfigError(
        "unavailable",
        `workspace "${name}" cannot be served: ${unavailable.reason}`,
      );
    throw noSuchWorkspace(name);
  }

  /** All that are there, by name. */
  list(): readonly (Workspace | UnavailableWorkspace)[] {
    return [...this.#served.values(), ...this.#unavailable.values()].sort(
      (a, b) => (a.name < b.name ? -1 : 1),
    );
  }

  /** One that is there. @throws ConfigError when there is none of that name. */
  describe(name: string): Workspace | UnavailableWorkspace {
    const found = this.#served.get(name) ?? this.#unavailable.get(name);
    if (found === undefined) throw noSuchWorkspace(name);
    return found;
  }

  /** Makes an empty one, with a history of its own. */
  create(name: string): Promise<Workspace> {
    return this.#make(name, () => Promise.resolve(undefined));
  }

  /** Makes one with the content of another, as the first revision of a history of its own. */
  copy(from: string, to: string, note: Note): Promise<Workspace> {
    return this.#make(to, async () => {
      const { head } = this.get(from).catalog;
      return firstRevision(head, to, {
        author: note.author,
        message:
          note.message === ""
            ? `copied from workspace "${from}", ${describeCursor(head.cursor)}`
            : note.message,
        timeMs: this.#options.clock.now(),
      });
    });
  }

  /**
   * Deletes one with its history. Its nodes are told, and go on serving what they have.
   *
   * @param options.force Although it is not empty.
   */
  delete(name: string, options: { readonly force: boolean }): Promise<void> {
    return this.#alone(name, async () => {
      if (name === DEFAULT_WORKSPACE)
        throw refused(
          "failed_precondition",
          `"${name}" cannot be deleted: requests and nodes that name no workspace mean it. To empty it, delete its resources`,
        );
      if (this.#unavailable.has(name))
        return this.#deleteUnavailable(name, options.force);
      const workspace = this.get(name);
      await workspace.catalog.retire(({ snapshot: { entryCount } }) => {
        if (entryCount > 0 && !options.force)
          throw refused(
            "failed_precondition",
            `"${name}" has ${entryCount} ${entryCount === 1 ? "resource" : "resources"}: delete them first, or say that they go with it (force, or --force)`,
          );
      });
      this.#served.delete(name);
      this.#options.logger.warn("workspace.deleted", { workspace: name });
      this.#afterwards(name, workspace.leave(this.#options.reception));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.allSettled(this.#changing.values());
    await Promise.all(
      [...this.#served.values()].map((one) => one[Symbol.asyncDispose]()),
    );
  }

  async #deleteUnavailable(name: string, force: boolean): Promise<void> {
    const { store, logger, reception } = this.#options;
    if (!force)
      throw refused(
        "failed_precondition",
        `"${name}" cannot be read, and so not be known to be empty: say that what it has goes with it (force, or --force)`,
      );
    await store.remove(name);
    this.#unavailable.delete(name);
    logger.warn("workspace.deleted", { workspace: name });
    this.#afterwards(name, reception.close(name));
  }

  /** Does the rest of a deletion, which nobody waits for but who wants to use the name again. */
  #afterwards(name: string, leaving: Promise<void>): void {
    // Awaited below, when it is this one's turn.
    leaving.catch(() => undefined);
    void this.#alone(
      name,
      async () => {
        const { store, logger } = this.#options;
        try {
          await leaving;
          await store.reclaim(name, this.#stopping.signal);
        } catch (error) {
          logger.error("workspace.not_reclaimed", {
            workspace: name,
            err: error,
            consequence:
              "what it had takes space until the control plane is started again",
          });
        }
      },
      true,
    );
  }

  /** What was left of a deletion when the control plane ended. */
  #reclaim(name: string): void {
    if (!this.#served.has(name)) this.#afterwards(name, Promise.resolve());
  }

  #make(
    name: string,
    first: () => Promise<Content | undefined>,
  ): Promise<Workspace> {
    return this.#alone(name, async () => {
      const { logger } = this.#options;
      if (this.#served.has(name) || this.#unavailable.has(name))
        throw refused(
          "already_exists",
          `there is a workspace "${name}" already`,
        );
      if (this.#served.size + this.#unavailable.size >= MAX_WORKSPACES)
        throw new ConfigError(
          "resource_exhausted",
          `a control plane has at most ${MAX_WORKSPACES} workspaces: delete one, or use another control plane`,
        );
      const content = await first();
      const head = await this.#store(name, content?.first);
      const workspace = await this.#open(name, {
        ...head,
        snapshot: content?.snapshot ?? Snapshot.empty(name),
      });
      logger.info("workspace.created", {
        workspace: name,
        epoch: workspace.catalog.head.cursor.epoch,
      });
      return workspace;
    });
  }

  /** Makes it durable. What failed may have been written all the same, and then it is whole. */
  async #store(name: string, first?: FirstRevision): Promise<StoredHead> {
    const { store } = this.#options;
    try {
      return await store.create(name, first);
    } catch (error) {
      const names = await store.workspaces().catch((): string[] => []);
      if (!names.includes(name)) throw error;
      await this.#openStored(name);
      throw error;
    }
  }

  /** Serves what the store has, or says why not. */
  async #openStored(name: string): Promise<void> {
    try {
      await this.#open(name);
    } catch (error) {
      this.#declare(name, error);
    }
  }

  /** @param known What the store has, when that is known: reading it would keep others from writing. */
  async #open(name: string, known?: LoadedWorkspace): Promise<Workspace> {
    const workspace = await Workspace.open(name, this.#options, known);
    this.#served.set(name, workspace);
    return workspace;
  }

  #declare(name: string, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#unavailable.set(name, { name, reason });
    this.#options.reception.declare(name, reason);
    this.#options.logger.error("workspace.unavailable", {
      workspace: name,
      err: error,
      consequence:
        "its nodes go on serving what they have; the other workspaces are served",
    });
  }

  /** After what is being done about the same workspace. */
  #alone<T>(name: string, run: () => Promise<T>, always = false): Promise<T> {
    const before = this.#changing.get(name) ?? Promise.resolve();
    const done = before.then(() => {
      if (this.#stopping.signal.aborted && !always) throw stopping();
      return run();
    });
    // The next waits for it, however it ends.
    const settled = done.then(
      () => undefined,
      () => undefined,
    );
    this.#changing.set(name, settled);
    void settled.then(() => {
      if (this.#changing.get(name) === settled) this.#changing.delete(name);
    });
    return done;
  }
}

/** What a copy begins with. */
interface Content {
  readonly snapshot: Snapshot;
  readonly first: FirstRevision;
}

/** The revision that makes a state of nothing, under another workspace's name. */
async function firstRevision(
  { snapshot }: Head,
  workspace: string,
  about: Pick<FirstRevision, "timeMs" | "author" | "message">,
): Promise<Content | undefined> {
  if (snapshot.entryCount === 0) return undefined;
  const renamed = Snapshot.ofBuckets(workspace, [...snapshot.buckets()]);
  const root = await driveSlices(renamed.hashSlices());
  const changes = await driveSlices(creations(renamed));
  return { snapshot: renamed, first: { ...about, root, changes } };
}

function* creations(snapshot: Snapshot): Slices<StoredChange[]> {
  const changes: StoredChange[] = [];
  for (const { key, value } of snapshot.entries()) {
    changes.push({ key, after: value });
    if (changes.length % SLICE_ENTRIES === 0) yield SLICE_ENTRIES;
  }
  return changes.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** What a request is told that names a workspace that is not there. */
function noSuchWorkspace(name: string): ConfigError {
  return refused(
    "not_found",
    `there is no workspace ${JSON.stringify(name)}: see "holdfast workspace list", or create it with "holdfast workspace create"`,
  );
}

function refused(
  code: "not_found" | "already_exists" | "failed_precondition",
  reason: string,
): ConfigError {
  return ConfigError.of(code, [
    { kind: "", name: "", field: "workspace", reason },
  ]);
}

function stopping(): ConfigError {
  return new ConfigError(
    "unavailable",
    "the control plane is stopping: nothing was changed",
  );
}
