import {
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescMessage,
  type FileRegistry,
  type JsonObject,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));

/** Messages as a build with other protocol files reads and writes them, by their names in those files. */
export class ProtocolVersion {
  readonly #registry: FileRegistry;

  private constructor(registry: FileRegistry) {
    this.#registry = registry;
  }

  /** Compiles the files of a version in test/fixtures/protocol. */
  static async load(version: "older" | "newer"): Promise<ProtocolVersion> {
    const modules = [`test/fixtures/protocol/${version}`, "proto_vendor"];
    const config = {
      version: "v2",
      modules: modules.map((path) => ({ path })),
    };
    const { stdout } = await run(
      "node_modules/.bin/buf",
      ["build", "--config", JSON.stringify(config), "-o", "-#format=binpb"],
      { cwd: root, encoding: "buffer", maxBuffer: 64 * 1024 * 1024 },
    );
    return new ProtocolVersion(
      createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout)),
    );
  }

  /** The bytes of a message that is given as JSON. */
  encode(type: string, json: JsonObject): Uint8Array {
    const schema = this.#schema(type);
    return toBinary(schema, fromJson(schema, json));
  }

  /** What that version sees in the bytes of a message. */
  decode(type: string, bytes: Uint8Array): JsonObject {
    const schema = this.#schema(type);
    const json = toJson(schema, fromBinary(schema, bytes), {
      useProtoFieldName: true,
    });
    return json as JsonObject;
  }

  #schema(type: string): DescMessage {
    const schema = this.#registry.getMessage(`holdfast.${type}`);
    if (schema === undefined) throw new TypeError(`there is no ${type}`);
    return schema;
  }
}
