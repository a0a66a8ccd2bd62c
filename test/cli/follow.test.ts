import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import type { WatchRequest } from "../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { startCli } from "../support/cli.ts";
import { scriptedControlPlane } from "../support/scripted-control-plane.ts";

const revisionEvent = (revision: bigint, epoch = "e1") => ({
  event: {
    case: "revision" as const,
    value: {
      revision: {
        cursor: { revision, epoch },
        author: "alice",
        message: "why",
        changeCount: 1,
        changes: [{ kind: "route", name: "a", action: "update" }],
      },
      changes: [
        {
          change: { kind: "route", id: "1", name: "a", action: "update" },
          before: {
            kind: {
              case: "route" as const,
              value: { id: "1", name: "a", paths: ["/a"] },
            },
          },
          after: {
            kind: {
              case: "route" as const,
              value: { id: "1", name: "a", paths: ["/b"] },
            },
          },
        },
      ],
    },
  },
});
const heartbeat = {
  event: {
    case: "heartbeat" as const,
    value: { revision: 4n, epoch: "e1" },
  },
};

function ending(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) =>
    signal.addEventListener("abort", () => resolve()),
  );
}

test("watch prints each revision with the fields it changed, until it is interrupted", async () => {
  await using plane = await scriptedControlPlane({
    config: {
      async *watch(_, { signal }) {
        yield heartbeat;
        yield revisionEvent(5n);
        await ending(signal);
      },
    },
  });
  const cli = startCli(["watch", "--admin", plane.admin]);
  await cli.until(/"\/b"/);
  cli.stop();
  expect(await cli.ended).toBe(0);
  expect(cli.stdout()).toBe(
    'revision 5  alice  1 updated  why\n  update route "a" (1)\n    paths[0]: "/a" -> "/b"\n',
  );
});

test("watch -o json prints one line for each revision and none for heartbeats", async () => {
  await using plane = await scriptedControlPlane({
    config: {
      async *watch(_, { signal }) {
        yield heartbeat;
        yield revisionEvent(5n);
        yield revisionEvent(6n);
        await ending(signal);
      },
    },
  });
  const cli = startCli(["watch", "-o", "json", "--admin", plane.admin]);
  await cli.until(/"revision":"6"/);
  cli.stop();
  await cli.ended;
  const lines = cli.stdout().trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
    { revision: { revision: { cursor: { revision: "5" } } } },
    { revision: { revision: { cursor: { revision: "6" } } } },
  ]);
});

test.each(["by a cut", "by an error", "by an end"])(
  "a watch whose stream is ended %s goes on after the last revision it has seen",
  async (how) => {
    const requests: WatchRequest[] = [];
    await using plane = await scriptedControlPlane({
      config: {
        async *watch(request, { signal }) {
          requests.push(request);
          if (requests.length > 1) {
            yield revisionEvent(6n);
            await ending(signal);
            return;
          }
          yield heartbeat;
          yield revisionEvent(5n);
          if (how === "by an end") return;
          if (how === "by an error")
            throw new ConnectError("draining", Code.Unavailable);
          setImmediate(() => plane.cut());
          await ending(signal);
        },
      },
    });
    const cli = startCli(["watch", "--admin", plane.admin]);
    await cli.until(/^revision 6/m);
    cli.stop();
    expect(await cli.ended).toBe(0);
    expect(requests[0]?.afterRevision).toBeUndefined();
    expect(requests[1]).toMatchObject({ afterRevision: 5n, epoch: "e1" });
    expect(cli.stderr()).toBe(
      `lost the control plane at ${plane.admin}, trying again\nconnected again\n`,
    );
  },
);

test("a watch that lost its connection before any revision misses none", async () => {
  const requests: WatchRequest[] = [];
  await using plane = await scriptedControlPlane({
    config: {
      async *watch(request, { signal }) {
        requests.push(request);
        yield heartbeat;
        if (requests.length > 1) await ending(signal);
      },
    },
  });
  const cli = startCli(["watch", "--admin", plane.admin]);
  await cli.until(/connected again/);
  cli.stop();
  await cli.ended;
  expect(requests[1]).toMatchObject({ afterRevision: 4n, epoch: "e1" });
});

test("a watch that is refused ends with 1, also after it had begun", async () => {
  let calls = 0;
  await using plane = await scriptedControlPlane({
    config: {
      async *watch() {
        calls += 1;
        if (calls === 2)
          throw new ConnectError("another history", Code.OutOfRange);
        yield heartbeat;
      },
    },
  });
  const cli = startCli(["watch", "--admin", plane.admin]);
  expect(await cli.ended).toBe(1);
  expect(cli.stderr()).toContain("OUT_OF_RANGE: another history");
});

test("a watch that cannot connect at first ends with 1", async () => {
  const plane = await scriptedControlPlane({});
  await plane[Symbol.asyncDispose]();
  const cli = startCli(["watch", "--admin", plane.admin]);
  expect(await cli.ended).toBe(1);
  expect(cli.stderr()).toContain("cannot reach the control plane");
});

test("nodes --watch prints each node and its changes as lines", async () => {
  const node = { id: "n1", hostname: "edge", connected: true };
  await using plane = await scriptedControlPlane({
    nodes: {
      async *watchNodes(_, { signal }) {
        yield { node: { ...node, inSync: true, serving: { revision: 3n } } };
        yield {
          node: { ...node, reason: "receiving", serving: { revision: 3n } },
        };
        yield { node, removed: true };
        await ending(signal);
      },
    },
  });
  const cli = startCli(["nodes", "--watch", "--admin", plane.admin]);
  await cli.until(/forgotten/);
  cli.stop();
  expect(await cli.ended).toBe(0);
  expect(
    cli
      .stdout()
      .split("\n")
      .map((line) => line.trim()),
  ).toEqual([
    "n1 (edge)  connected  serves revision 3  in sync",
    "n1 (edge)  connected  serves revision 3  not in sync: receiving",
    "n1 (edge)  forgotten",
    "",
  ]);
});
