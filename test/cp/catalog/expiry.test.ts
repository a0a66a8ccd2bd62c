import { onTestFinished, expect, test } from "vitest";
import { Expiry } from "../../../src/cp/catalog/expiry.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import {
  openCatalog,
  put,
  type OpenedCatalog,
} from "../../support/open-catalog.ts";
import { id, resource } from "../../support/resources.ts";

const consumer = put(resource("consumer", { id: id(1), username: "ann" }));
const credential = (n: number, ttl?: number, tags: string[] = []) =>
  put(
    resource("keyauthCredential", {
      id: id(n),
      key: `key-${n}`,
      consumer: { id: id(1) },
      tags,
      ...(ttl === undefined ? {} : { ttl }),
    }),
  );

async function start(opened: OpenedCatalog): Promise<Expiry> {
  const expiry = await Expiry.start({ ...opened, logger: silentLogger });
  onTestFinished(() => expiry.close());
  return expiry;
}

/** The credentials that are there. */
async function keys({ catalog }: OpenedCatalog): Promise<readonly string[]> {
  const { resources } = await catalog.list({ kind: "keyauth_credential" });
  return resources.map(({ kind }) => (kind.value as { key: string }).key);
}

test("a credential goes when its ttl is over, and is seen to have gone by the control plane's hand", async () => {
  const opened = await openCatalog();
  await start(opened);
  const { catalog, clock } = opened;
  await catalog.transact([consumer, credential(2, 60), credential(3)]);
  clock.advance(59_000);
  expect(await keys(opened)).toEqual(["key-2", "key-3"]);
  clock.advance(1000);
  await expect.poll(() => keys(opened)).toEqual(["key-3"]);
  expect((await catalog.revision(2n)).revision).toMatchObject({
    author: "holdfast",
    changes: [{ kind: "keyauth_credential", id: id(2), action: "delete" }],
  });
  expect(clock.timers).toBe(0);
});

test("a credential that is changed has a new term, one without a ttl has none", async () => {
  const opened = await openCatalog();
  await start(opened);
  const { catalog, clock } = opened;
  await catalog.transact([consumer, credential(2, 60), credential(3, 60)]);
  clock.advance(50_000);
  await catalog.transact([credential(2, 60, ["x"]), credential(3)]);
  clock.advance(50_000);
  await catalog.transact([credential(4)]);
  expect(await keys(opened)).toEqual(["key-2", "key-3", "key-4"]);
  clock.advance(10_000);
  await expect.poll(() => keys(opened)).toEqual(["key-3", "key-4"]);
});

test("terms go on over a restart, and what ran out meanwhile goes at once", async () => {
  const opened = await openCatalog();
  await opened.catalog.transact([
    consumer,
    credential(2, 60),
    credential(3, 600),
  ]);
  const again = await opened.reopen();
  again.clock.advance(100_000);
  await start(again);
  again.clock.advance(1000);
  await expect.poll(() => keys(again)).toEqual(["key-3"]);
  again.clock.advance(499_000);
  await expect.poll(() => keys(again)).toEqual([]);
});

test("those due at about the same time go as one revision", async () => {
  const opened = await openCatalog();
  await start(opened);
  const { catalog, clock } = opened;
  await catalog.transact([
    consumer,
    ...Array.from({ length: 50 }, (_, i) => credential(100 + i, 60)),
  ]);
  clock.advance(60_000);
  await expect.poll(() => keys(opened)).toEqual([]);
  expect(catalog.head.cursor.revision).toBe(2n);
});

test("a store that fails delays it, no more", async () => {
  const opened = await openCatalog();
  await start(opened);
  const { catalog, clock, store } = opened;
  await catalog.transact([consumer, credential(2, 60)]);
  store.failures.push("lost");
  clock.advance(60_000);
  await expect.poll(() => store.groups.length).toBe(2);
  await expect.poll(() => clock.timers).toBe(1);
  expect(await keys(opened)).toEqual(["key-2"]);
  clock.advance(10_000);
  await expect.poll(() => keys(opened)).toEqual([]);
});

test("a credential that is put again while its deletion waits is spared", async () => {
  const opened = await openCatalog();
  await start(opened);
  const { catalog, clock, store } = opened;
  await catalog.transact([consumer, credential(2, 60)]);
  const release = store.hold();
  const busy = catalog.transact([credential(3)]);
  await expect.poll(() => store.groups.length).toBe(2);
  const renewed = catalog.transact([credential(2, 60, ["renewed"])]);
  clock.advance(60_000);
  release();
  await busy;
  await renewed;
  clock.advance(1000);
  expect((await catalog.transact([credential(4)])).revision).toBe(4n);
  expect(await keys(opened)).toEqual(["key-2", "key-3", "key-4"]);
});

test("nothing is left behind when it is closed", async () => {
  const opened = await openCatalog();
  const expiry = await start(opened);
  await opened.catalog.transact([consumer, credential(2, 60)]);
  expect(opened.clock.timers).toBe(1);
  await expiry.close();
  expect(opened.clock.timers).toBe(0);
  await opened.catalog.transact([credential(3, 60)]);
  expect(opened.clock.timers).toBe(0);
});
