import { create, toBinary } from "@bufbuild/protobuf";
import {
  createContextValues,
  createHandlerContext,
  type HandlerContext,
} from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { callEntryKey, type CallEntry } from "../../../src/cp/admin/caller.ts";
import { UploadBudget } from "../../../src/cp/admin/upload-budget.ts";
import {
  applyRequestOf,
  transactRequestOf,
} from "../../../src/cp/admin/uploads.ts";
import {
  ApplyRequestSchema,
  ConfigService,
  TransactRequestSchema,
} from "../../../src/gen/holdfast/admin/v1/config_service_pb.js";
import { ManualClock } from "../../support/manual-clock.ts";

const MIB = 1 << 20;

function callOf(
  caller: string,
  {
    mayWrite = true,
    denied = false,
    signal,
  }: { mayWrite?: boolean; denied?: boolean; signal?: AbortSignal } = {},
): HandlerContext {
  const entry: CallEntry = {
    caller,
    may: () => mayWrite,
    mayAnywhere: () => mayWrite,
    seeSecrets: () => undefined,
    check: () => {
      if (denied) throw new Error("denied");
    },
    enter: () => Promise.resolve(),
  };
  const { signal: ended, ...context } = createHandlerContext({
    service: ConfigService,
    method: ConfigService.method.transactStream,
    protocolName: "grpc",
    requestMethod: "POST",
    url: "http://localhost",
    contextValues: createContextValues().set(callEntryKey, entry),
  });
  return { ...context, signal: signal ?? ended };
}

/** A request that sends these parts and then nothing more. */
function stalling(...parts: readonly Uint8Array[]) {
  let stall = (): void => {};
  const stalled = new Promise<void>((resolve) => (stall = resolve));
  async function* send() {
    for (const data of parts) yield { data };
    stall();
    await new Promise(() => undefined);
  }
  return { parts: send(), stalled };
}

const part = (bytes: number) => new Uint8Array(bytes);

test("a request of which nothing comes for half a minute is given up, and what it held is there for others", async () => {
  const clock = new ManualClock();
  const budget = new UploadBudget();
  const { parts, stalled } = stalling(part(200 * MIB));
  const upload = transactRequestOf(parts, callOf("ci"), { clock, budget });
  const outcome = expect(upload).rejects.toThrow(
    /nothing more .* for 30 s, so the 209715200 bytes .* send it again/,
  );
  await stalled;
  expect(() => {
    budget.share({ caller: "ci", mayWrite: true }).take(100 * MIB);
  }).toThrow(/"ci"/);
  clock.advance(29_999);
  expect(clock.timers).toBe(1);
  clock.advance(1);
  await outcome;
  budget.share({ caller: "ci", mayWrite: true }).take(256 * MIB);
  expect(clock.timers).toBe(0);
});

test("the half minute begins anew with each part", async () => {
  const clock = new ManualClock();
  const request = create(TransactRequestSchema, { message: "slow" });
  const bytes = toBinary(TransactRequestSchema, request);
  async function* slowly() {
    for (const byte of bytes) {
      yield { data: Uint8Array.of(byte) };
      clock.advance(20_000);
    }
  }
  const deps = { clock, budget: new UploadBudget() };
  const read = await transactRequestOf(slowly(), callOf("ci"), deps);
  expect(read.message).toBe("slow");
});

test("an aborted call gives back what it held at once", async () => {
  const clock = new ManualClock();
  const budget = new UploadBudget();
  const leave = new AbortController();
  const call = callOf("ci", { signal: leave.signal });
  const { parts, stalled } = stalling(part(MIB));
  const upload = applyRequestOf(parts, call, { clock, budget });
  const outcome = expect(upload).rejects.toThrow("gone");
  await stalled;
  leave.abort(new Error("gone"));
  await outcome;
  budget.share({ caller: "ci", mayWrite: true }).take(256 * MIB);
});

test("no caller, and not all who may write nowhere together, can have the room of the others", () => {
  const budget = new UploadBudget();
  const writer = { caller: "writer", mayWrite: true };
  const first = budget.share(writer);
  first.take(200 * MIB);
  expect(() => {
    budget.share(writer).take(100 * MIB);
  }).toThrow(/"writer" .* send the next one when they are done/);
  const readers = ["a", "b"].map((caller) =>
    budget.share({ caller, mayWrite: false }),
  );
  readers[0]?.take(200 * MIB);
  expect(() => readers[1]?.take(100 * MIB)).toThrow(/who may write nowhere/);
  // A part that is refused takes nothing.
  readers[1]?.take(56 * MIB);
  budget.share({ caller: "other", mayWrite: true }).take(56 * MIB);
  expect(() => {
    budget.share({ caller: "third", mayWrite: true }).take(MIB);
  }).toThrow(/too many large ones .* try again/);
  first.release();
  budget.share({ caller: "third", mayWrite: true }).take(200 * MIB);
});

test("what is whole is read, and holds nothing any more", async () => {
  const budget = new UploadBudget();
  const request = create(ApplyRequestSchema, {
    files: [{ name: "kong.yml", content: "x".repeat(1000) }],
  });
  async function* parts() {
    yield { data: toBinary(ApplyRequestSchema, request) };
  }
  const deps = { clock: new ManualClock(), budget };
  const read = await applyRequestOf(parts(), callOf("ci"), deps);
  expect(read.files[0]?.content).toHaveLength(1000);
  budget.share({ caller: "ci", mayWrite: true }).take(256 * MIB);
});

/** Sends a request that has so many of these bytes, in two parts. */
async function* repeated(bytes: Uint8Array, count: number) {
  const data = Buffer.alloc(bytes.length * count, bytes);
  const half = data.length >> 1;
  yield { data: data.subarray(0, half) };
  yield { data: data.subarray(half) };
}

describe("what would take more memory decoded than it has bytes", () => {
  const deps = () => ({ clock: new ManualClock(), budget: new UploadBudget() });
  // An operation, or a file, without anything in it.
  const empty = Uint8Array.of(0x12, 0);

  test.each([
    ["operations", transactRequestOf],
    ["files", applyRequestOf],
  ] as const)(
    "is refused before it is decoded when it has too many %s",
    async (what, requestOf) => {
      const budget = new UploadBudget();
      const call = requestOf(repeated(empty, 100_001), callOf("ci"), {
        clock: new ManualClock(),
        budget,
      });
      await expect(call).rejects.toThrow(
        `a request may have 100000 ${what}, and this one has 100001: make several requests of it`,
      );
      budget.share({ caller: "ci", mayWrite: true }).take(256 * MIB);
    },
  );

  test("is counted with what is within its operations, and with what nobody knows", async () => {
    const unknown = Uint8Array.of(0xc2, 0x3e, 0);
    const call = transactRequestOf(
      repeated(unknown, 2_200_000),
      callOf("ci"),
      deps(),
    );
    await expect(call).rejects.toThrow(
      "may take 268435456 bytes of memory, and this one takes 288200000, as it holds 2200000",
    );
  });

  test("has no room when others have it", async () => {
    const budget = new UploadBudget();
    budget.share({ caller: "ci", mayWrite: true }).take(255 * MIB);
    const call = transactRequestOf(repeated(empty, 10_000), callOf("ci"), {
      clock: new ManualClock(),
      budget,
    });
    await expect(call).rejects.toThrow(/"ci" .* bytes of room/);
  });

  test("is not decoded for who may not make it", async () => {
    // The mask of an operation, with text that is none: only decoding finds that.
    const broken = Uint8Array.of(0x12, 5, 0x1a, 3, 0x0a, 1, 0xff);
    const call = (denied: boolean) =>
      transactRequestOf(repeated(broken, 2), callOf("ci", { denied }), deps());
    await expect(call(true)).rejects.toThrow("denied");
    await expect(call(false)).rejects.toThrow(/not an encoded request/);
  });
});
