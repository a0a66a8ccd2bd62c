import { describe, expect, onTestFinished, test } from "vitest";
import {
  Retention,
  type KeepHistory,
} from "../../../src/cp/catalog/retention.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import {
  openCatalog,
  put,
  type OpenedCatalog,
} from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

function retain(
  { catalog, store, clock }: OpenedCatalog,
  keep: KeepHistory,
  heldFrom: () => bigint | undefined = () => undefined,
): Retention {
  const logger = silentLogger;
  const retention = Retention.start({
    catalog,
    store,
    clock,
    logger,
    keep,
    heldFrom,
  });
  onTestFinished(() => retention.close());
  return retention;
}

async function write({ catalog }: OpenedCatalog, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const { revision } = catalog.head.cursor;
    const host = `h${revision}.internal`;
    await catalog.transact([
      put(resource("service", { id: id(1), name: "s", host })),
    ]);
  }
}

describe("a history", () => {
  test("keeps so many revisions, of those made before it began and of those made since", async () => {
    const opened = await openCatalog();
    await write(opened, 12);
    const retention = retain(opened, { revisions: 5 });
    await retention.settled();
    expect(await opened.catalog.oldest()).toBe(8n);
    await write(opened, 3);
    await retention.settled();
    expect(await opened.catalog.oldest()).toBe(11n);
    const { catalog } = await opened.reopen();
    expect((await catalog.history()).revisions).toHaveLength(5);
  });

  test("forgets what is older than it may be, once that is so, and never its newest revision", async () => {
    const opened = await openCatalog();
    const retention = retain(opened, { revisions: 100, ageMs: 3_600_000 });
    await write(opened, 2);
    opened.clock.advance(3_000_000);
    await write(opened, 2);
    await retention.settled();
    expect(await opened.catalog.oldest()).toBe(1n);
    // Looked at four times an hour and more often than that.
    for (let i = 0; i < 4; i++) {
      opened.clock.advance(230_000);
      await retention.settled();
    }
    expect(await opened.catalog.oldest()).toBe(3n);
    for (const ms of [24 * 3_600_000, 230_000]) {
      opened.clock.advance(ms);
      await retention.settled();
    }
    expect(await opened.catalog.oldest()).toBe(4n);
    expect((await opened.catalog.revision(4n)).changes).toHaveLength(1);
  });

  test("keeps what leads back to a revision that nodes are kept at, until they are not, neither too many nor too old", async () => {
    const opened = await openCatalog();
    await write(opened, 12);
    const root3 = (await opened.catalog.revision(3n)).revision.cursor.root;
    opened.clock.advance(24 * 3_600_000);
    let held: bigint | undefined = 3n;
    const keep = { revisions: 5, ageMs: 3_600_000 };
    const retention = retain(opened, keep, () => held);
    await retention.settled();
    expect(await opened.catalog.oldest()).toBe(3n);
    await write(opened, 70);
    await retention.settled();
    expect(await opened.catalog.oldest()).toBe(3n);
    const { catalog } = opened;
    expect((await catalog.stateAt(3n)).snapshot.root).toBe(root3);
    held = 80n;
    await write(opened, 1);
    await retention.settled();
    expect(await catalog.oldest()).toBe(79n);
    held = undefined;
    await write(opened, 3);
    await retention.settled();
    expect(await catalog.oldest()).toBe(82n);
  });
});
