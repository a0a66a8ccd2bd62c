import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  sign,
  verify,
  type KeyObject,
} from "node:crypto";
import {
  SnapshotSignatureSchema,
  type SnapshotFileHeader,
  type SnapshotSignature,
} from "../gen/holdfast/sync/v1/snapshot_file_pb.js";

/** The parts of a header that a signature vouches for. */
export type SignedParts = Pick<
  SnapshotFileHeader,
  "workspace" | "cursor" | "time" | "buckets"
>;

const DOMAIN = Buffer.from("holdfast.snapshot.v1\0", "ascii");
const ROOT = /^[0-9a-f]{64}$/;
const KEY_ID_DIGITS = 16;
/** A bucket in what is signed: its index and its size. */
const SIZE_BYTES = 6;

/**
 * Vouches for a snapshot file. The form is described at SnapshotSignature.
 *
 * @param privateKey Ed25519.
 */
export function signSnapshot(
  header: SignedParts,
  privateKey: KeyObject,
): SnapshotSignature {
  const digest = digestOf(header);
  if (typeof digest === "string")
    throw new TypeError(`the header ${digest}: there is nothing to sign`);
  return create(SnapshotSignatureSchema, {
    keyId: keyIdOf(createPublicKey(privateKey)),
    signature: sign(null, digest, privateKey),
  });
}

/** Whether one of these keys vouches for a snapshot file: nothing, or what is wrong. */
export function verifySnapshot(
  header: SignedParts & Pick<SnapshotFileHeader, "signature">,
  publicKeys: readonly KeyObject[],
): string | undefined {
  const { signature } = header;
  if (signature === undefined) return "is not signed";
  const key = publicKeys.find((each) => keyIdOf(each) === signature.keyId);
  if (key === undefined)
    return `is signed by key ${signature.keyId || "(none)"}, trusted is ${publicKeys.map(keyIdOf).join(", ")}`;
  const digest = digestOf(header);
  if (typeof digest === "string") return digest;
  return verify(null, digest, key, signature.signature)
    ? undefined
    : `has a signature that is not of its content, by key ${signature.keyId}`;
}

/** Reads a key to sign with, or says what is wrong with it. */
export function readSigningKey(pem: string): KeyObject | string {
  return readKey(pem, "private", createPrivateKey);
}

/** Reads a key to verify with, or says what is wrong with it. */
export function readVerifyKey(pem: string): KeyObject | string {
  // From a private key a public one could be read as well: it has no business on a data plane.
  if (pem.includes("PRIVATE KEY"))
    return "is a private key; the public one is wanted";
  return readKey(pem, "public", createPublicKey);
}

function readKey(
  pem: string,
  type: "private" | "public",
  read: (pem: string) => KeyObject,
): KeyObject | string {
  let key: KeyObject;
  try {
    key = read(pem);
  } catch {
    return `is no ${type} key in PEM form`;
  }
  return key.asymmetricKeyType === "ed25519"
    ? key
    : `is a key of type ${key.asymmetricKeyType ?? "unknown"}, an Ed25519 key is wanted`;
}

/** What a signature calls its key by. */
function keyIdOf(publicKey: KeyObject): string {
  return createHash("sha256")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest("hex")
    .slice(0, KEY_ID_DIGITS);
}

function digestOf({
  workspace,
  cursor,
  time,
  buckets,
}: SignedParts): Buffer | string {
  if (cursor === undefined) return "has no cursor";
  if (time === undefined) return "has no time";
  if (!ROOT.test(cursor.root)) return `has "${cursor.root}" for a root`;
  const numbers = Buffer.alloc(8);
  const u64 = (value: bigint): Buffer => {
    numbers.writeBigUInt64BE(BigInt.asUintN(64, value));
    return Buffer.from(numbers);
  };
  // The root vouches for the content of buckets, and not for their sizes.
  const sizes = Buffer.alloc(4 + SIZE_BYTES * buckets.length);
  let at = sizes.writeUInt32BE(buckets.length);
  for (const { index, size } of buckets)
    at = sizes.writeUInt32BE(size, sizes.writeUInt16BE(index, at));
  return createHash("sha256")
    .update(DOMAIN)
    .update(withLength(workspace))
    .update(withLength(cursor.epoch))
    .update(u64(cursor.revision))
    .update(Buffer.from(cursor.root, "hex"))
    .update(u64(BigInt(Math.trunc(timestampMs(time)))))
    .update(sizes)
    .digest();
}

function withLength(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
