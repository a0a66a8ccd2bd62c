import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Cursor } from "../../src/gen/holdfast/config/v1/cursor_pb.js";
import {
  adminClient,
  putting,
  type AdminClient,
} from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import { Gate } from "../support/gate.ts";
import {
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { resource } from "../support/resources.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { TempDir } from "../support/temp-dir.ts";

const NODES = 3;
const KILLS_EACH = 10;
/** A node goes on for so many acknowledged revisions and milliseconds, at most, before it is killed. */
const MAX_ACKNOWLEDGED = 6;
const MAX_LATER_MS = 120;
/** As many services change at once, at most: a large change takes a while to be stored. */
const MAX_CHANGES = 150;
const BALLAST = 400;
/** Between two changes, and between two looks: most of the time shall go to what is tested. */
const PAUSE_MS = 20;

const random = SeededRandom.fromEnvironment();

/** What a data plane says about itself. */
interface ServedConfig {
  readonly cursor: Pick<Cursor, "epoch" | "root"> & {
    readonly revision: string;
  };
  readonly source: string;
}

/** Changes the configuration until it is told to stop. */
async function write(
  { config }: AdminClient,
  stop: AbortSignal,
): Promise<void> {
  for (let number = 1; !stop.aborted; number++) {
    const count = 1 + random.below(random.below(6) === 0 ? MAX_CHANGES : 5);
    const first = random.below(BALLAST);
    await config.transact({
      operations: Array.from({ length: count }, (_, i) =>
        putting(
          resource("service", {
            name: `s-${(first + i) % BALLAST}`,
            host: "a.example",
            tags: [`n-${number}`],
          }),
        ),
      ),
    });
    await delay(PAUSE_MS);
  }
}

/** One data plane and what the control plane knows of it. */
class Node {
  readonly id: string;
  readonly #client: AdminClient;
  readonly #gate: Gate;
  readonly #dataDir: string;
  #process: HoldfastProcess | undefined;

  constructor(id: string, client: AdminClient, gate: Gate, dataDir: string) {
    this.id = id;
    this.#client = client;
    this.#gate = gate;
    this.#dataDir = dataDir;
  }

  /** Starts it and returns what it serves before it has seen a control plane. */
  async start(): Promise<ServedConfig | undefined> {
    this.#gate.shut();
    const dp = await startDp(
      this.#dataDir,
      this.#gate.address,
      "--node-id",
      this.id,
    );
    this.#process = dp;
    const response = await fetch(dp.url("status", "/status/config"));
    const config = (await response.json()) as
      ServedConfig | { readonly cursor: null };
    this.#gate.open();
    return config.cursor === null ? undefined : config;
  }

  /** Waits until the control plane knows that it serves a later revision. */
  async passed(revision: bigint): Promise<void> {
    await eventually(
      async () => (await this.#row())?.serving?.revision,
      `${this.id} to have acknowledged anything`,
      30_000,
    );
    await eventually(
      async () =>
        ((await this.#row())?.serving?.revision ?? 0n) > revision || undefined,
      `${this.id} to have acknowledged more than revision ${revision}`,
      30_000,
    );
  }

  /** Kills it and returns the last cursor that it acknowledged, as the control plane says. */
  async kill(): Promise<Cursor | undefined> {
    expect(await this.#process?.kill("SIGKILL")).toEqual({
      code: null,
      signal: "SIGKILL",
    });
    this.#process = undefined;
    const row = await eventually(async () => {
      const node = await this.#row();
      return node?.connected === false ? node : undefined;
    }, `the control plane to see that ${this.id} is gone`);
    return row.serving;
  }

  async #row() {
    await delay(PAUSE_MS);
    const { nodes } = await this.#client.nodes.listNodes({});
    return nodes.find(({ id }) => id === this.id);
  }
}

test(
  `data planes that are killed ${NODES * KILLS_EACH} times while they apply changes start on a whole revision, and none older than they acknowledged (seed ${random.seed})`,
  // Against hanging, not against slowness: many starts take their time on a busy machine.
  { timeout: 600_000 },
  async () => {
    await using dir = await TempDir.make();
    await using cp = await startCp(dir.join("cp"));
    const client = adminClient(cp.url("admin"));
    await client.config.transact({
      operations: Array.from({ length: BALLAST }, (_, i) =>
        putting(resource("service", { name: `s-${i}`, host: "a.example" })),
      ),
    });

    const stop = new AbortController();
    const writing = write(client, stop.signal);
    const starts: {
      readonly acknowledged: Cursor | undefined;
      readonly found: ServedConfig | undefined;
    }[] = [];
    const live = async (index: number): Promise<void> => {
      const id = `node-${index}`;
      await using gate = await Gate.inFrontOf(cp.address("sync"));
      const node = new Node(id, client, gate, dir.join(id));
      let acknowledged: Cursor | undefined;
      for (let kill = 0; kill <= KILLS_EACH; kill++) {
        const found = await node.start();
        starts.push({ acknowledged, found });
        const before = BigInt(found?.cursor.revision ?? 0);
        await node.passed(before + BigInt(random.below(MAX_ACKNOWLEDGED)));
        await delay(random.next() * MAX_LATER_MS);
        acknowledged = await node.kill();
      }
    };
    const lives = await Promise.allSettled(
      Array.from({ length: NODES }, (_, i) => live(i)),
    );
    stop.abort();
    await writing;
    for (const life of lives) if (life.status === "rejected") throw life.reason;

    const committed = new Map<string, Cursor>();
    for (let pageToken = "", more = true; more; more = pageToken !== "") {
      const page = await client.config.listRevisions({ pageToken });
      for (const { cursor } of page.revisions)
        if (cursor !== undefined)
          committed.set(String(cursor.revision), cursor);
      pageToken = page.nextPageToken;
    }
    expect(starts.length).toBe(NODES * (KILLS_EACH + 1));
    for (const { acknowledged, found } of starts) {
      expect(acknowledged === undefined).toBe(found === undefined);
      if (acknowledged === undefined || found === undefined) continue;
      const { epoch, revision, root } = found.cursor;
      expect(found.source).toBe("replica");
      expect({ epoch, root }).toEqual({
        epoch: committed.get(revision)?.epoch,
        root: committed.get(revision)?.root,
      });
      expect(BigInt(revision)).toBeGreaterThanOrEqual(acknowledged.revision);
    }
  },
);
