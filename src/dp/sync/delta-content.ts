import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import {
  DeltaContentSchema,
  type Delta,
  type DeltaContent,
} from "../../gen/holdfast/sync/v1/sync_pb.js";
import type { Changes } from "../../model/snapshot.ts";
import { LIMITS } from "../../sync/limits.ts";
import { unpack, WireError } from "./staging.ts";

/** Puts and deletes of a delta: so many that each is a few bytes only are made to keep a node busy. */
const MAX_DELTA_FIELDS = 32_768;

/**
 * What a delta changes.
 *
 * @throws WireError when it cannot be read, or is larger than any may be.
 */
export function changesOf(delta: Delta): Changes {
  if (delta.size > LIMITS.deltaBytes)
    throw new WireError(
      `a delta has ${delta.size} bytes, more than ${LIMITS.deltaBytes}`,
    );
  const content = unpack(delta.codec, delta.data, delta.size);
  const fields = countFields(content);
  if (fields > MAX_DELTA_FIELDS)
    throw new WireError(
      `a delta has ${fields} changes, more than ${MAX_DELTA_FIELDS}`,
    );
  const { puts, deletes } = read(content);
  const stray = [...puts.map((entry) => entry.key), ...deletes].find(
    (key) => key.length > 255 || !/^[\x21-\x7e]+$/.test(key),
  );
  if (stray !== undefined)
    throw new WireError(`"${stray.slice(0, 300)}" is not a key`);
  return { puts, deletes };
}

function read(content: Uint8Array): DeltaContent {
  try {
    return fromBinary(DeltaContentSchema, content);
  } catch (error) {
    throw new WireError("a delta cannot be read", { cause: error });
  }
}

/** How many fields bytes have, if they are a message at all: cheap, and before anything is made of them. */
function countFields(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes);
  let count = 0;
  try {
    for (; reader.pos < reader.len; count++) reader.skip(reader.tag()[1]);
  } catch (error) {
    throw new WireError("a delta cannot be read", { cause: error });
  }
  return count;
}
