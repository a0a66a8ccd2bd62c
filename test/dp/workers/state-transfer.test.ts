import { Duplex, PassThrough } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { State } from "../../../src/dp/replica/last-good.ts";
import { Link } from "../../../src/dp/workers/link.ts";
import type { FromWorker, ToWorker } from "../../../src/dp/workers/messages.ts";
import { IncomingState } from "../../../src/dp/workers/receive-state.ts";
import { sendState } from "../../../src/dp/workers/send-state.ts";
import { runSlices } from "../../../src/model/slices.ts";
import type { Snapshot } from "../../../src/model/snapshot.ts";
import { eventually } from "../../support/eventually.ts";
import { filled, plain, stateOf } from "../../support/states.ts";

/** Two ends of a pipe. */
function pipe(): readonly [Duplex, Duplex] {
  const [there, back] = [new PassThrough(), new PassThrough()];
  const ends = [
    Duplex.from({ writable: there, readable: back }),
    Duplex.from({ writable: back, readable: there }),
  ] as const;
  // Ending one is an error of the other to these.
  for (const end of ends) end.on("error", () => undefined);
  return ends;
}

interface Sent {
  readonly frames: readonly (readonly [ToWorker, Buffer])[];
  readonly bytes: number;
}

/** What goes over the pipe to a worker that has `has`. */
async function transfer(
  state: State,
  has: Snapshot | undefined,
): Promise<Sent> {
  const [near, far] = pipe();
  const frames: [ToWorker, Buffer][] = [];
  const link = new Link<FromWorker, ToWorker>(near, {
    onMessage: () => undefined,
    onEnd: () => undefined,
  });
  new Link<ToWorker, FromWorker>(far, {
    onMessage: (message, bytes) => {
      frames.push([message, bytes]);
    },
    onEnd: () => undefined,
  });
  await sendState(
    link,
    1,
    state,
    has,
    () => undefined,
    () => true,
  );
  await link.send({ type: "ping" });
  await eventually(
    () => frames.at(-1)?.[0].type === "ping" || undefined,
    "all to have come",
  );
  link.close();
  return {
    frames,
    bytes: frames.reduce((sum, [, bytes]) => sum + bytes.length, 0),
  };
}

/** What a worker makes of it. */
function receive(sent: Sent, has: Snapshot | undefined): State {
  const [[first] = []] = sent.frames;
  if (first?.type !== "state") throw new Error("a state comes first");
  const incoming = new IncomingState(first, has);
  for (const [message, bytes] of sent.frames)
    if (message.type === "bytes") {
      expect(incoming.isWhole).toBe(false);
      incoming.receive(bytes);
    }
  expect(incoming.isWhole).toBe(true);
  return {
    cursor: incoming.cursor,
    snapshot: runSlices(incoming.snapshotSlices()),
  };
}

const entries = fc.dictionary(
  fc.integer({ min: 0, max: 3_000 }).map(String),
  fc.string({ maxLength: 40 }),
  { maxKeys: 40 },
);
const stateFrom = (revision: number, made: Record<string, string>): State =>
  stateOf(
    revision,
    Object.entries(made).map(([n, value]) => [Number(n), value] as const),
  );

test("whatever a worker has, it gets the state that is sent, to the byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.option(entries), entries, async (before, after) => {
      const has = before === null ? undefined : stateFrom(1, before).snapshot;
      const state = stateFrom(2, after);
      expect(plain(receive(await transfer(state, has), has))).toEqual(
        plain(state),
      );
    }),
    { numRuns: 60 },
  );
});

test("of a state with one entry changed only that entry's bucket is sent", async () => {
  const before = filled(1, 20_000);
  const [n, value] = [7, "changed"];
  const after = runSlices(
    before.snapshot.applySlices({
      puts: [
        {
          key: [...stateOf(1, [[n, value]]).snapshot.entries()][0]!.key,
          value: Buffer.from(value),
        },
      ],
      deletes: [],
    }),
  );
  const state = {
    cursor: { ...before.cursor, root: after.root },
    snapshot: after,
  };
  const sent = await transfer(state, before.snapshot);
  expect(sent.bytes).toBeLessThan(after.byteCount / 500);
  expect(receive(sent, before.snapshot).snapshot.root).toBe(after.root);
});

test("a worker that got anything else than the state does not take it", async () => {
  const state = filled(1, 50);
  const sent = await transfer(state, undefined);
  const [, bytes] = sent.frames[1]!;
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  expect(() => receive(sent, undefined)).toThrow(
    new RegExp(`announced was ${state.cursor.root}`),
  );
  // Nor one that lacks what it was taken to have.
  const next = stateOf(2, [[1, "x"]]);
  const delta = await transfer(next, state.snapshot);
  expect(() => receive(delta, filled(3, 60).snapshot)).toThrow(/has root/);
});

test("no more is on its way than the pipe and one frame hold while a worker does not read", async () => {
  const [near, far] = pipe();
  far.pause();
  const link = new Link<FromWorker, ToWorker>(near, {
    onMessage: () => undefined,
    onEnd: () => undefined,
  });
  let frames = 0;
  let isDone = false;
  const sending = sendState(
    link,
    1,
    filled(1, 20_000, 300),
    undefined,
    () => frames++,
    () => true,
  ).then(() => {
    isDone = true;
  });
  for (let i = 0; i < 50; i++) await turn();
  expect(isDone).toBe(false);
  expect(frames).toBeLessThanOrEqual(2);
  far.resume();
  await sending;
  expect(frames).toBeGreaterThan(20);
  link.close();
});
