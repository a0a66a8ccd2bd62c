import { parentPort } from "node:worker_threads";
import { toBinary } from "@bufbuild/protobuf";
import { ResourceSchema } from "../../gen/holdfast/config/v1/resource_pb.js";
import type {
  DeclarativeFile,
  DeclaredEntity,
  ParsedDeclarative,
  ParseOptions,
} from "../../model/declarative/parsed.ts";
import { parseDeclarative } from "../../model/declarative/parse.ts";

/** An entity with its resource encoded: bytes go from one thread to the other much faster than objects. */
type EncodedEntity = Omit<DeclaredEntity, "resource"> & {
  readonly value: Uint8Array;
};

/** What the thread sends: the entities a few at a time, so that receiving them does not stall either, and then the rest. */
export type ParsedPart =
  | { readonly type: "entities"; readonly entities: readonly EncodedEntity[] }
  | ({ readonly type: "end" } & Omit<ParsedDeclarative, "entities">);

/** What the thread is given, one after the other. */
export interface ParseWork {
  readonly files: readonly DeclarativeFile[];
  readonly options: ParseOptions;
}

const PART_ENTITIES = 256;

function send(part: ParsedPart): void {
  parentPort?.postMessage(part);
}

parentPort?.on("message", ({ files, options }: ParseWork) => {
  const { entities, ...rest } = parseDeclarative(files, options);
  for (let at = 0; at < entities.length; at += PART_ENTITIES)
    send({
      type: "entities",
      entities: entities
        .slice(at, at + PART_ENTITIES)
        .map(({ resource, ...entity }) => ({
          ...entity,
          value: toBinary(ResourceSchema, resource),
        })),
    });
  send({ type: "end", ...rest });
});
