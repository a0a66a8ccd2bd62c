import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createHash, generateKeyPairSync, verify } from "node:crypto";
import { describe, expect, test } from "vitest";
import { SnapshotFileHeaderSchema } from "../../src/gen/holdfast/sync/v1/snapshot_file_pb.js";
import { cursorOf } from "../../src/model/cursor.ts";
import {
  readSnapshotFileHeader,
  SNAPSHOT_FILE_PREFIX_BYTES,
  writeSnapshotFile,
} from "../../src/model/snapshot-file.ts";
import {
  readSigningKey,
  readVerifyKey,
  signSnapshot,
  verifySnapshot,
} from "../../src/model/snapshot-signature.ts";
import { filled } from "../support/states.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const stranger = generateKeyPairSync("ed25519");

const ROOT = "0f".repeat(32);
const header = create(SnapshotFileHeaderSchema, {
  workspace: "default",
  cursor: cursorOf("epoch", 258n, ROOT),
  time: timestampFromMs(1_234_567_890_123),
  buckets: [
    { index: 3, size: 70_000, hash: Buffer.alloc(32, 1) },
    { index: 1023, size: 5, hash: Buffer.alloc(32, 2) },
  ],
});
header.signature = signSnapshot(header, privateKey);

describe("a signature", () => {
  test("is Ed25519 over exactly what the .proto file says", () => {
    const digest = createHash("sha256")
      .update("holdfast.snapshot.v1\0")
      .update(Buffer.from([0, 0, 0, 7]))
      .update("default")
      .update(Buffer.from([0, 0, 0, 5]))
      .update("epoch")
      .update(Buffer.from([0, 0, 0, 0, 0, 0, 1, 2]))
      .update(Buffer.from(ROOT, "hex"))
      .update(
        Buffer.from((1_234_567_890_123).toString(16).padStart(16, "0"), "hex"),
      )
      .update(Buffer.from([0, 0, 0, 2]))
      .update(Buffer.from([0, 3, 0, 1, 0x11, 0x70]))
      .update(Buffer.from([3, 0xff, 0, 0, 0, 5]))
      .digest();
    const { signature } = header;
    expect(
      verify(null, digest, publicKey, signature?.signature ?? Buffer.of()),
    ).toBe(true);
    expect(signature?.keyId).toBe(
      createHash("sha256")
        .update(publicKey.export({ type: "spki", format: "der" }))
        .digest("hex")
        .slice(0, 16),
    );
  });

  test("is taken from any of the keys that are trusted, and from no other", () => {
    expect(verifySnapshot(header, [publicKey])).toBeUndefined();
    expect(
      verifySnapshot(header, [stranger.publicKey, publicKey]),
    ).toBeUndefined();
    expect(verifySnapshot(header, [stranger.publicKey])).toMatch(
      /^is signed by key [0-9a-f]{16}, trusted is [0-9a-f]{16}$/,
    );
    expect(
      verifySnapshot({ ...header, signature: undefined }, [publicKey]),
    ).toBe("is not signed");
  });

  test.each([
    ["workspace", { workspace: "defaulu" }],
    ["epoch", { cursor: cursorOf("epocg", 258n, ROOT) }],
    ["revision", { cursor: cursorOf("epoch", 259n, ROOT) }],
    ["root", { cursor: cursorOf("epoch", 258n, ROOT.replace("0", "1")) }],
    ["time", { time: timestampFromMs(1_234_567_890_124) }],
    ["bucket", { buckets: header.buckets.slice(1) }],
    [
      "size of a bucket",
      { buckets: header.buckets.map((each) => ({ ...each, size: 1 << 30 })) },
    ],
    // Where one text ends and the next begins is signed too.
    [
      "border of two texts",
      { workspace: "defaulte", cursor: cursorOf("poch", 258n, ROOT) },
    ],
  ])("is of no other %s", (_name, change) => {
    expect(verifySnapshot({ ...header, ...change }, [publicKey])).toMatch(
      /^has a signature that is not of its content/,
    );
  });

  test("with the right key's name and a stranger's bytes is refused", () => {
    const theirs = signSnapshot(header, stranger.privateKey);
    const forged = { ...theirs, keyId: header.signature?.keyId ?? "" };
    for (const signature of [forged, { ...forged, signature: Buffer.of() }])
      expect(verifySnapshot({ ...header, signature }, [publicKey])).toMatch(
        /^has a signature that is not of its content/,
      );
  });

  test("is in the file that is written, and fields that a newer build adds are no trouble", () => {
    const state = filled(3, 5);
    const [, bytes = Buffer.of(), seal = Buffer.of()] = writeSnapshotFile(
      state.cursor,
      state.snapshot,
      1_000,
      { signingKey: privateKey },
    );
    expect(SNAPSHOT_FILE_PREFIX_BYTES).toBe(16);
    const read = readSnapshotFileHeader(Buffer.concat([bytes, seal]));
    if (typeof read === "string") throw new Error(read);
    expect(verifySnapshot(read, [publicKey])).toBeUndefined();
    // Field 1000, a varint.
    const more = Buffer.concat([bytes, Buffer.from([0xc0, 0x3e, 0x01])]);
    const newer = readSnapshotFileHeader(
      Buffer.concat([more, createHash("sha256").update(more).digest()]),
    );
    if (typeof newer === "string") throw new Error(newer);
    expect(newer.cursor).toEqual(state.cursor);
    expect(verifySnapshot(newer, [publicKey])).toBeUndefined();
  });
});

test("keys are read from PEM, and anything else is named", () => {
  const pem = (key: typeof privateKey, type: "pkcs8" | "spki") =>
    key.export({ type, format: "pem" }) as string;
  expect(readSigningKey(pem(privateKey, "pkcs8"))).toHaveProperty(
    "type",
    "private",
  );
  expect(readVerifyKey(pem(publicKey, "spki"))).toHaveProperty(
    "type",
    "public",
  );
  expect(readVerifyKey(pem(privateKey, "pkcs8"))).toBe(
    "is a private key; the public one is wanted",
  );
  expect(readSigningKey(pem(publicKey, "spki"))).toBe(
    "is no private key in PEM form",
  );
  expect(readVerifyKey("nothing")).toBe("is no public key in PEM form");
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  expect(readVerifyKey(pem(ec.publicKey, "spki"))).toBe(
    "is a key of type ec, an Ed25519 key is wanted",
  );
});
