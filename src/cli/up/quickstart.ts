import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import {
  FileSchema,
  type File,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";

const NAME = "examples/quickstart.yml";

/** Where the quick start expects its upstreams. */
export const ECHO_LISTEN = ["127.0.0.1:8090", "127.0.0.1:8091"] as const;

/** The quick start's declarative file, with its targets where the echo upstreams really listen. */
export async function quickstartFile(
  echoAddresses: readonly string[],
): Promise<File> {
  // As far from the top in src as in dist.
  const file = new URL(`../../../${NAME}`, import.meta.url);
  let content = await readFile(file, "utf8");
  for (const [index, expected] of ECHO_LISTEN.entries()) {
    content = content.replaceAll(expected, echoAddresses[index] ?? expected);
  }
  return create(FileSchema, { name: NAME, content });
}
