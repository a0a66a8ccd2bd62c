import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  UpstreamHealthSchema,
  type ListUpstreamHealthRequest,
  type UpstreamHealth,
  type ListUpstreamHealthResponseSchema,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { decodePageToken, encodePageToken } from "../catalog/pages.ts";
import type { AdminDeps } from "./deps.ts";
import { RequestForm } from "./request-form.ts";
import { Room } from "./room.ts";

/** Upstreams in a page at most. */
const MAX_PAGE = 2_000;

/** A page of upstreams. A token names the last upstream of its page. */
export function listUpstreamHealth(
  { catalog, nodes }: AdminDeps,
  request: ListUpstreamHealthRequest,
  call: HandlerContext,
): MessageInitShape<typeof ListUpstreamHealthResponseSchema> {
  const { workspace } = catalog;
  const { upstream, pageSize, pageToken } = request;
  const form = new RequestForm();
  if (pageSize < 0)
    form.refuse("page_size", `must not be negative, got ${pageSize}`);
  form.check();
  const last = decodePageToken("upstreams", pageToken);
  const limit = Math.min(pageSize === 0 ? MAX_PAGE : pageSize, MAX_PAGE);
  const { upstreams, incompleteNodes } = nodes.upstreamHealth(
    workspace,
    upstream === "" ? undefined : upstream,
  );
  const room = new Room(call);
  const page: UpstreamHealth[] = [];
  let isLast = true;
  for (const one of upstreams) {
    if (one.upstream <= last) continue;
    isLast = page.length < limit && room.take(UpstreamHealthSchema, one);
    if (!isLast) break;
    page.push(one);
  }
  const end = page.at(-1);
  return {
    upstreams: page,
    incompleteNodes,
    ...(end === undefined || isLast
      ? {}
      : { nextPageToken: encodePageToken("upstreams", end.upstream) }),
  };
}
