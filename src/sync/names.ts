import { NackClass } from "../gen/holdfast/sync/v1/sync_pb.js";

const names = new Map<number, string>(
  Object.entries(NackClass).map(([name, value]) => [value, name]),
);

/** A class as people see it: "INVALID". */
export function nackClassName(nackClass: NackClass): string {
  return names.get(nackClass) ?? "UNSPECIFIED";
}

/** A message of the protocol by its name in the .proto file, "bucket_chunk", from its name in code. */
export function messageName(name: string | undefined): string {
  return (name ?? "unknown").replace(
    /[A-Z]/g,
    (letter) => `_${letter.toLowerCase()}`,
  );
}
