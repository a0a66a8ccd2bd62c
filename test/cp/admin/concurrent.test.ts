import { Code, ConnectError } from "@connectrpc/connect";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Service } from "../../../src/gen/holdfast/config/v1/service_pb.js";
import { CloseStack } from "../../../src/runtime/close-stack.ts";
import { putting } from "../../support/admin-client.ts";
import {
  startAdminServer,
  type AdminServer,
} from "../../support/admin-server.ts";
import { resource } from "../../support/resources.ts";

const WRITERS = 8;
const ADDITIONS = 3;

let stack: CloseStack;
let server: AdminServer;
beforeEach(async () => {
  stack = new CloseStack();
  server = await startAdminServer(stack);
});
afterEach(() => stack.close());

type Config = AdminServer["config"];

/** What everybody changes, and the revision at which it was read. */
async function read(config: Config): Promise<[service: Service, at: bigint]> {
  const { resource: found, revision } = await config.get({
    kind: "service",
    by: { case: "name", value: "shared" },
  });
  if (found?.kind.case !== "service") throw new Error("it is not there");
  return [found.kind.value, revision];
}

/** Adds a tag to what was read, as long as nobody else has changed anything since. Says how often somebody had. */
async function add(config: Config, tag: string): Promise<number> {
  for (let refused = 0; ; refused++) {
    const [service, at] = await read(config);
    try {
      const { revision } = await config.transact({
        operations: [
          putting(
            resource("service", { ...service, tags: [...service.tags, tag] }),
          ),
        ],
        expectedRevision: at,
        author: tag,
      });
      // Nobody came in between: the answer is about the very next revision.
      expect(revision).toBe(at + 1n);
      return refused;
    } catch (error) {
      expect(ConnectError.from(error).code).toBe(Code.Aborted);
    }
  }
}

async function newestFirst(config: Config) {
  const all = [];
  for (let pageToken = ""; ;) {
    const page = await config.listRevisions({ pageSize: 10, pageToken });
    all.push(...page.revisions);
    pageToken = page.nextPageToken;
    if (pageToken === "") return all;
  }
}

test("eight writers that read, change and write with the revision they have read lose nothing, and every revision is there once", async () => {
  await server.config.transact({
    operations: [
      putting(resource("service", { name: "shared", host: "a.example" })),
    ],
  });
  let refused = 0;
  await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      const { config } = server.clients("grpc");
      for (let i = 0; i < ADDITIONS; i++)
        refused += await add(config, `w${writer}-${i}`);
    }),
  );
  // Otherwise they were not at it at the same time.
  expect(refused).toBeGreaterThan(WRITERS);

  const expected = Array.from({ length: WRITERS }, (_, writer) =>
    Array.from({ length: ADDITIONS }, (_, i) => `w${writer}-${i}`),
  ).flat();
  const [{ tags }] = await read(server.config);
  expect([...tags].sort()).toEqual(expected.sort());

  const revisions = (await newestFirst(server.config)).reverse();
  expect(revisions.map(({ cursor }) => cursor?.revision)).toEqual(
    Array.from({ length: 1 + expected.length }, (_, i) => BigInt(i + 1)),
  );
  // The history tells the same story: each revision has one tag more, and is its author's.
  expect(revisions.slice(1).map(({ author }) => author)).toEqual(tags);
  for (const [i, { cursor }] of revisions.entries()) {
    const revision = cursor?.revision ?? 0n;
    const { changes } = await server.config.getRevision({ revision });
    const [after] = changes.map((change) => change.after?.kind.value?.tags);
    expect(after).toEqual(tags.slice(0, i));
  }
});

test("writers that do not say what they have read each get a revision of their own, without a gap", async () => {
  const answers = await Promise.all(
    Array.from({ length: WRITERS }, async (_, writer) => {
      const { config } = server.clients("grpc");
      const revisions: bigint[] = [];
      for (let i = 0; i < ADDITIONS; i++) {
        const { revision } = await config.transact({
          operations: [
            putting(
              resource("service", {
                name: `w${writer}`,
                host: "a.example",
                port: i + 1,
              }),
            ),
          ],
        });
        revisions.push(revision);
      }
      return revisions;
    }),
  );
  for (const own of answers)
    expect(own).toEqual([...own].sort((a, b) => (a < b ? -1 : 1)));
  const inOrder = answers.flat().sort((a, b) => (a < b ? -1 : 1));
  expect(inOrder).toEqual(
    Array.from({ length: WRITERS * ADDITIONS }, (_, i) => BigInt(i + 1)),
  );
});

test("many streams of one workspace at a time are no leak that Node warns of", async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => void warnings.push(warning);
  process.on("warning", note);
  stack.defer(() => void process.off("warning", note));
  const streams = await Promise.all(
    Array.from({ length: 11 }, async () => {
      const stop = new AbortController();
      const stream = server.config.watch({}, { signal: stop.signal });
      const messages = stream[Symbol.asyncIterator]();
      await messages.next();
      return { stop, messages };
    }),
  );
  for (const { stop } of streams) stop.abort();
  await Promise.allSettled(streams.map(({ messages }) => messages.next()));
  // Warnings are told a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  expect(warnings).toEqual([]);
});
