import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import {
  adminClient,
  putting,
  type AdminClient,
} from "../support/admin-client.ts";
import { eventually } from "../support/eventually.ts";
import {
  holdfast,
  startCp,
  startDp,
  type HoldfastProcess,
} from "../support/holdfast-process.ts";
import { logged, untilLogged } from "../support/logged.ts";
import { resource } from "../support/resources.ts";
import { servedBy } from "../support/served-revision.ts";
import { TempDir } from "../support/temp-dir.ts";

async function put({ config }: AdminClient, name: string): Promise<void> {
  await config.transact({
    operations: [putting(resource("service", { name, host: "a.example" }))],
  });
}

/** A data plane that is killed and started again on the same directory. */
class Node implements AsyncDisposable {
  readonly #start: () => Promise<HoldfastProcess>;
  #running: HoldfastProcess;

  private constructor(
    start: () => Promise<HoldfastProcess>,
    running: HoldfastProcess,
  ) {
    this.#start = start;
    this.#running = running;
  }

  static async start(dir: TempDir, cp: HoldfastProcess): Promise<Node> {
    const start = (): Promise<HoldfastProcess> =>
      startDp(dir.join("dp"), cp.address("sync"), "--node-id", "edge");
    return new Node(start, await start());
  }

  get process(): HoldfastProcess {
    return this.#running;
  }

  served(): Promise<string | undefined> {
    return servedBy(this.#running);
  }

  async untilServed(revision: string): Promise<void> {
    await eventually(
      async () => (await this.served()) === revision || undefined,
      `revision ${revision} to be served`,
    );
  }

  /** Ends it so often, as soon as it serves, and starts it again. */
  async again(times: number, signal: NodeJS.Signals): Promise<void> {
    for (let i = 0; i < times; i++) {
      await this.#running.kill(signal);
      this.#running = await this.#start();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.kill("SIGTERM");
  }
}

test("three processes in a row that die within ten seconds of serving a state: the next serves the one before, says so, and takes the state up again when it is asked to", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  const client = adminClient(cp.url("admin"));
  await put(client, "s-1");
  await using dp = await Node.start(dir, cp);
  await dp.untilServed("1");
  await put(client, "s-2");
  await dp.untilServed("2");

  await dp.again(2, "SIGKILL");
  // Two are no reason.
  expect(await dp.served()).toBe("2");
  await dp.again(1, "SIGKILL");
  expect(await dp.served()).toBe("1");
  const config = await (
    await fetch(dp.process.url("status", "/status/config"))
  ).json();
  expect(config).toMatchObject({ source: "previous" });
  expect(logged(dp.process, "replica.quarantined")).toMatchObject([
    {
      level: "error",
      quarantined: expect.stringMatching(/^revision 2 /) as string,
      serving: expect.stringMatching(/^revision 1 /) as string,
    },
  ]);
  await untilLogged(dp.process, "sync.welcomed");
  const node = async () =>
    (await client.nodes.listNodes({})).nodes.find(({ id }) => id === "edge");
  await eventually(async () => {
    const found = await node();
    expect(found).toMatchObject({
      connected: true,
      inSync: false,
      serving: { revision: 1n },
      lastNack: { class: "CRASHED", cursor: { revision: 2n } },
    });
    return true;
  }, "the node list to show it");

  // It stays so, over restarts that were asked for, too.
  await dp.again(1, "SIGTERM");
  await untilLogged(dp.process, "sync.welcomed");
  expect(await dp.served()).toBe("1");

  const retry = await holdfast(
    "nodes",
    "retry",
    "edge",
    "--admin",
    cp.url("admin"),
  );
  expect(retry.stderr + retry.stdout).not.toMatch(/error/i);
  await dp.untilServed("2");
  await eventually(
    async () => (await node())?.inSync === true || undefined,
    "the node to be in sync",
  );
  // It starts from nothing again: two more crashes do not bring the quarantine back.
  await dp.again(2, "SIGKILL");
  expect(await dp.served()).toBe("2");
}, 180_000);

test("another state ends a quarantine, and one that was served for ten seconds, or by a process that was asked to end, is never blamed", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  const client = adminClient(cp.url("admin"));
  await put(client, "s-1");
  await using dp = await Node.start(dir, cp);
  await dp.untilServed("1");
  await put(client, "s-2");
  await dp.untilServed("2");
  // Asked to end: no crash, however soon.
  await dp.again(4, "SIGTERM");
  expect(await dp.served()).toBe("2");
  await dp.again(2, "SIGKILL");
  // Ten seconds: it has proved itself to this process, and the two before are forgotten.
  await delay(11_000);
  await dp.again(3, "SIGKILL");
  expect(await dp.served()).toBe("2");
  await dp.again(1, "SIGKILL");
  expect(await dp.served()).toBe("1");
  await put(client, "s-3");
  await dp.untilServed("3");
}, 180_000);

test("a first state that kills processes leaves nothing to serve: not ready, and told why, until there is another", async () => {
  await using dir = await TempDir.make();
  await using cp = await startCp(dir.join("cp"));
  const client = adminClient(cp.url("admin"));
  await put(client, "s-1");
  await using dp = await Node.start(dir, cp);
  await dp.untilServed("1");
  await dp.again(3, "SIGKILL");
  expect(await dp.served()).toBeUndefined();
  expect((await fetch(dp.process.url("status", "/status/ready"))).status).toBe(
    503,
  );
  expect(logged(dp.process, "replica.quarantined")).toMatchObject([
    {
      quarantined: expect.stringMatching(/^revision 1 /) as string,
      serving: "nothing",
    },
  ]);
  await put(client, "s-2");
  await dp.untilServed("2");
}, 120_000);
