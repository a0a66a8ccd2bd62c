import type {
  AdoptRequest,
  AdoptResponseSchema,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AdminDeps } from "./deps.ts";

/** Gives the history a new epoch that replaces the present one, so that nodes follow it whatever they serve of that. */
export async function adopt(
  { catalog }: AdminDeps,
  request: AdoptRequest,
): Promise<MessageInitShape<typeof AdoptResponseSchema>> {
  const { epoch } = request;
  const { cursor, predecessors } = await catalog.adopt(
    epoch === "" ? undefined : epoch,
  );
  return { cursor, predecessors: [...predecessors] };
}
