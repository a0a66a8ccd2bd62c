import { ConnectError, Code } from "@connectrpc/connect";
import { setTimeout as delay } from "node:timers/promises";
import { expect, test } from "vitest";
import type { Resource } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import {
  adminClient,
  exported,
  putting,
  type AdminClient,
} from "../support/admin-client.ts";
import { startCp } from "../support/holdfast-process.ts";
import { resource } from "../support/resources.ts";
import { SeededRandom } from "../support/seeded-random.ts";
import { TempDir } from "../support/temp-dir.ts";

const KILLS = 30;
const WRITERS = 4;
/** A round goes on for so many acknowledged writes and milliseconds, at most, before the kill. */
const MAX_ACKNOWLEDGED = 40;
const MAX_LATER_MS = 12;

const random = SeededRandom.fromEnvironment();

/** What a writer knows of its own transactions, which are numbered from 1. */
interface Writer {
  readonly name: string;
  /** The last one sent. */
  sent: number;
  /** The last one that was answered. */
  acknowledged: number;
  /** The revision that the answer named. */
  revision: bigint;
}

/**
 * A transaction: two services and a route get its number as a tag, and a consumer is there after each even one. Half of
 * it would show, and so would one that came after one that is lost.
 */
function transaction(name: string, number: number) {
  const tags = [String(number)];
  const service = (part: string): Resource =>
    resource("service", { name: `${name}-${part}`, host: "a.example", tags });
  return [
    putting(service("a")),
    putting(
      resource("route", {
        name: `${name}-route`,
        // The second service comes after what refers to the first.
        service: { name: `${name}-a` },
        paths: [`/${name}/${"x".repeat(number % 500)}`],
        tags,
      }),
    ),
    putting(service("b")),
    number % 2 === 0
      ? putting(resource("consumer", { username: name, tags }))
      : {
          operation: {
            case: "delete" as const,
            value: {
              kind: "consumer",
              by: { case: "name" as const, value: name },
            },
          },
        },
  ];
}

/** Writes one transaction after the other until the control plane is gone. */
async function write(
  client: AdminClient,
  writer: Writer,
  onAcknowledged: () => void,
): Promise<void> {
  for (;;) {
    const number = ++writer.sent;
    // The first one has no consumer to delete.
    const operations = transaction(writer.name, number).slice(
      0,
      number === 1 ? 3 : 4,
    );
    try {
      const { revision } = await client.config.transact({ operations });
      expect(revision).toBeGreaterThan(writer.revision);
      writer.revision = revision;
      writer.acknowledged = number;
      onAcknowledged();
    } catch (error) {
      // What the kill may look like; anything else is a refusal.
      expect([Code.Unavailable, Code.Aborted, Code.Internal]).toContain(
        ConnectError.from(error).code,
      );
      return;
    }
  }
}

test(
  `a control plane that is killed ${KILLS} times while it writes has every acknowledged transaction afterwards, and no half one (seed ${random.seed})`,
  // Against hanging, not against slowness: many starts take their time on a busy machine.
  { timeout: 600_000 },
  async () => {
    await using dir = await TempDir.make();
    const writers = Array.from({ length: WRITERS }, (_, i): Writer => ({
      name: `w${i}`,
      sent: 0,
      acknowledged: 0,
      revision: 0n,
    }));
    let epoch: string | undefined;
    for (let kill = 0; kill <= KILLS; kill++) {
      await using cp = await startCp(dir.join("cp"));
      const client = adminClient(cp.url("admin"));

      const { revisions } = await client.config.listRevisions({ pageSize: 1 });
      const cursor = revisions[0]?.cursor;
      const found = await exported(client);
      const acknowledged = writers.reduce(
        (max, { revision }) => (revision > max ? revision : max),
        0n,
      );
      expect(cursor?.revision ?? 0n).toBeGreaterThanOrEqual(acknowledged);
      epoch ??= cursor?.epoch;
      expect(cursor?.epoch).toBe(epoch);
      let expected = 0n;
      for (const writer of writers) {
        const number = numberOf(found, writer.name);
        expect([writer.acknowledged, writer.sent]).toContain(number);
        writer.acknowledged = number;
        writer.sent = number;
        expected += BigInt(number);
      }
      // Each transaction made one revision, so none is missing and none is there twice.
      expect(cursor?.revision ?? 0n).toBe(expected);
      if (kill === KILLS) {
        expect(await revisionsOf(client)).toEqual(
          Array.from(
            { length: Number(expected) },
            (_, i) => expected - BigInt(i),
          ),
        );
        break;
      }

      const enough = 1 + random.below(MAX_ACKNOWLEDGED);
      const laterMs = random.next() * MAX_LATER_MS;
      let count = 0;
      let killed: Promise<unknown> | undefined;
      const onAcknowledged = (): void => {
        if (++count === enough)
          killed = delay(laterMs).then(() => cp.kill("SIGKILL"));
      };
      await Promise.all(
        writers.map((writer) => write(client, writer, onAcknowledged)),
      );
      await killed;
    }
    expect(Math.min(...writers.map((w) => w.acknowledged))).toBeGreaterThan(
      KILLS,
    );
  },
);

/** Every revision of the history, newest first. */
async function revisionsOf({ config }: AdminClient): Promise<bigint[]> {
  const found: bigint[] = [];
  for (let pageToken = ""; ;) {
    const page = await config.listRevisions({ pageSize: 1000, pageToken });
    found.push(...page.revisions.map(({ cursor }) => cursor?.revision ?? 0n));
    pageToken = page.nextPageToken;
    if (pageToken === "") return found;
  }
}

/** The number of the writer's transaction that all of its entries agree on. */
function numberOf(found: readonly Resource[], name: string): number {
  const tags = new Map<string, string>();
  for (const { kind } of found) {
    if (kind.case === "consumer")
      tags.set(kind.value.username, tag(kind.value));
    if (kind.case === "service" || kind.case === "route")
      tags.set(kind.value.name, tag(kind.value));
  }
  const parts = ["a", "b", "route"].map((part) => tags.get(`${name}-${part}`));
  const [number] = parts;
  expect(new Set(parts).size, `${name}: ${parts.join(", ")}`).toBe(1);
  expect(tags.get(name)).toBe(
    number !== undefined && Number(number) % 2 === 0 ? number : undefined,
  );
  return Number(number ?? 0);
}

function tag({ tags }: { readonly tags: readonly string[] }): string {
  return tags.join();
}
