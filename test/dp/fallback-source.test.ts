import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { execFileSync } from "node:child_process";
import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { readFallback } from "../../src/dp/fallback-source.ts";
import {
  SnapshotFileHeaderSchema,
  type SnapshotFileHeader,
} from "../../src/gen/holdfast/sync/v1/snapshot_file_pb.js";
import { signSnapshot } from "../../src/model/snapshot-signature.ts";
import { writeSnapshotFile } from "../../src/model/snapshot-file.ts";
import type { Clock } from "../../src/runtime/clock.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { eventually } from "../support/eventually.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { filled, plain } from "../support/states.ts";
import { TempDir } from "../support/temp-dir.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const state = filled(7, 200, 1_000);
const file = Buffer.concat([
  ...writeSnapshotFile(state.cursor, state.snapshot, 5_000, {
    signingKey: privateKey,
  }),
]);

/** The file with another header. */
function withHeader(
  change: (header: SnapshotFileHeader) => void,
  signingKey?: KeyObject,
): Buffer {
  const end = 16 + file.readUInt32BE(12);
  const header = fromBinary(SnapshotFileHeaderSchema, file.subarray(16, end));
  change(header);
  if (signingKey !== undefined)
    header.signature = signSnapshot(header, signingKey);
  const bytes = toBinary(SnapshotFileHeaderSchema, header);
  const prefix = Buffer.from(file.subarray(0, 16));
  prefix.writeUInt32BE(bytes.length, 12);
  const seal = createHash("sha256").update(bytes).digest();
  return Buffer.concat([prefix, bytes, seal, file.subarray(end + 32)]);
}

/** Reads from a server that answers as a test says. */
async function reading(
  answer: (response: ServerResponse, request: IncomingMessage) => void,
  clock: Clock = systemClock,
  { userinfo = "", query = "" } = {},
): Promise<Awaited<ReturnType<typeof readFallback>>> {
  const server = createServer((request, response) => {
    answer(response, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    return await readFallback(
      {
        source: `http://${userinfo}127.0.0.1:${port}/x.hfs${query}`,
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
  [
    "announces a bucket of any size",
    /has a signature that is not of its content/,
    (r) =>
      r.end(
        withHeader(({ buckets }) => {
          buckets[0]!.size = 1_900 << 20;
        }),
      ),
  ],
  [
    "lists a bucket that its root does not have",
    /has root [0-9a-f]{64}, its cursor says/,
    (r) =>
      r.end(
        withHeader(({ buckets }) => {
          buckets[0]!.hash = Buffer.alloc(32);
        }, privateKey),
      ),
  ],
  [
    "lists a bucket with half a hash",
    /lists bucket \d+ with a hash of 16 bytes/,
    (r) =>
      r.end(
        withHeader(({ buckets }) => {
          buckets[0]!.hash = Buffer.alloc(16);
        }, privateKey),
      ),
  ],
  [
    "has other content",
    /bucket \d+ has another hash/,
    (r) => {
      const other = Buffer.from(file);
      other[file.length - 1] = other[file.length - 1]! ^ 1;
      r.end(other);
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

test("a user and a password in a URL are told to the server, and neither they nor what is asked for to anybody else", async () => {
  const asked: unknown[] = [];
  const found = await reading(
    (response, { headers, url }) => {
      asked.push(headers.authorization, url);
      response.end(file);
    },
    systemClock,
    { userinfo: "ann:s3%40cret@", query: "?token=TOPSECRET" },
  );
  expect(plain(found)).toEqual(plain(state));
  expect(asked).toEqual([
    `Basic ${Buffer.from("ann:s3@cret").toString("base64")}`,
    "/x.hfs?token=TOPSECRET",
  ]);
  const answers: ((response: ServerResponse) => void)[] = [
    (r) => r.writeHead(302, { location: "/y.hfs?token=TOPSECRET" }).end(),
    (r) => r.writeHead(404).end(),
    (r) => r.end("<html>login</html>"),
    (r) => r.destroy(),
  ];
  for (const answer of answers) {
    const error: unknown = await reading(answer, systemClock, {
      userinfo: "ann:s3%40cret@",
      query: "?token=TOPSECRET",
    }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    const said = inspect(error, { depth: 9 });
    expect(said).not.toMatch(/s3|TOPSECRET|ann/);
  }
  await expect(reading(answers[0]!)).rejects.toThrow(
    /^http:\/\/127\.0\.0\.1:\d+\/x\.hfs answers 302, a redirect to http:\/\/127\.0\.0\.1:\d+\/y\.hfs: those are not followed$/,
  );
});

test("a pipe or a device for a file is refused, and not waited for", async () => {
  await using dir = await TempDir.make();
  const pipe = dir.join("pipe.hfs");
  execFileSync("mkfifo", [pipe]);
  for (const source of [pipe, "/dev/zero", dir.path])
    await expect(
      readFallback(
        { source, publicKey, workspace: "default", clock: systemClock },
        new AbortController().signal,
      ),
    ).rejects.toThrow(`${source} is no regular file`);
});
