import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { readFallback } from "../../src/dp/fallback-source.ts";
import { writeSnapshotFile } from "../../src/model/snapshot-file.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { filled, plain } from "../support/states.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const state = filled(7, 200, 1_000);
const file = Buffer.concat([
  ...writeSnapshotFile(state.cursor, state.snapshot, 5_000, {
    signingKey: privateKey,
  }),
]);

/** Reads from a server that answers as a test says. */
async function reading(
  answer: (response: ServerResponse) => void,
  clock: Clock = systemClock,
): Promise<Awaited<ReturnType<typeof readFallback>>> {
  const server = createServer((_request, response) => {
    answer(response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    return await readFallback(
      {
        source: `http://127.0.0.1:${port}/x.hfs`,
        publicKey,
        workspace: "default",
        clock,
      },
      new AbortController().signal,
    );
  } finally {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  }
}

test("a file that comes in any pieces is read, with the time it was written at", async () => {
  const found = await reading((response) => {
    for (let at = 0; at < file.length; at += 777)
      response.write(file.subarray(at, at + 777));
    response.end();
  });
  expect(plain(found)).toEqual(plain(state));
  expect(found.timeMs).toBe(5_000);
});

test.each<readonly [string, RegExp, (response: ServerResponse) => void]>([
  [
    "ends early",
    /ends \d+ bytes too early/,
    (r) => r.end(file.subarray(0, -5)),
  ],
  [
    "is cut off",
    /terminated|aborted/,
    (r) => {
      r.writeHead(200, { "content-length": file.length });
      r.write(file.subarray(0, 500), () => r.destroy());
    },
  ],
  [
    "goes on after its end",
    /goes on after its last bucket/,
    (r) => r.end(Buffer.concat([file, Buffer.of(0)])),
  ],
  [
    "never ends",
    /is not a snapshot file/,
    (r) => {
      const more = (): void => {
        if (!r.destroyed)
          r.write(Buffer.alloc(65_536), () => setImmediate(more));
      };
      more();
    },
  ],
  [
    "announces a header of any size",
    /has a header of \d+ bytes, more than \d+/,
    (r) => {
      const prefix = Buffer.from(file.subarray(0, 16));
      prefix.writeUInt32BE(0xffffffff, 12);
      r.end(prefix);
    },
  ],
  ["is not there", /answers 404/, (r) => r.writeHead(404).end("no")],
])("a file that %s is refused", async (_name, reason, answer) => {
  await expect(reading(answer)).rejects.toThrow(reason);
});

test("a server that says nothing for fifteen seconds is given up, in the middle too", async () => {
  for (const answer of [
    (): void => undefined,
    (response: ServerResponse): void => {
      response.write(file.subarray(0, 500));
    },
  ]) {
    const clock = new ManualClock();
    const answered = { count: 0 };
    const found = reading((response) => {
      answer(response);
      answered.count++;
    }, clock).catch((error: unknown) => error);
    await eventually(() => answered.count > 0 || undefined, "the request");
    const error = await eventually(() => {
      clock.advance(15_000);
      return Promise.race([found, Promise.resolve(undefined)]);
    }, "the end of the wait");
    expect(String(error)).toMatch(/did not come in time/);
  }
});
