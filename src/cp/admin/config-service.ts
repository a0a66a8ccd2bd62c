import type { ServiceImpl } from "@connectrpc/connect";
import type { ConfigService } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { adopt } from "./adopt.ts";
import type { AdminContext } from "./deps.ts";
import { depsFor, streamFor } from "./in-workspace.ts";
import { FileParser } from "./parse-files.ts";
import {
  diffRevisions,
  exportAll,
  getResource,
  getRevision,
  listResources,
  listRevisions,
} from "./reads.ts";
import { UploadBudget } from "./upload-budget.ts";
import { applyRequestOf, transactRequestOf } from "./uploads.ts";
import { waitForRevision } from "./wait.ts";
import { watch } from "./watch.ts";
import {
  apply,
  deleteResource,
  putResource,
  rollback,
  transact,
} from "./writes.ts";

/** The handlers of ConfigService. */
export function configService(
  context: AdminContext,
): Required<ServiceImpl<typeof ConfigService>> {
  const parser = new FileParser();
  const uploads = { clock: context.clock, budget: new UploadBudget() };
  const of = (request: { readonly workspace: string }) =>
    depsFor(context, request);
  return {
    put: (request, call) => putResource(of(request), request, call),
    get: (request, call) => getResource(of(request), request, call),
    list: (request, call) => listResources(of(request), request, call),
    delete: (request, call) => deleteResource(of(request), request, call),
    transact: (request, call) => transact(of(request), request, call),
    transactStream: async (parts, call) => {
      const request = await transactRequestOf(parts, call, uploads);
      return transact(of(request), request, call);
    },
    apply: (request, call) => apply(of(request), parser, request, call),
    applyStream: async (parts, call) => {
      const request = await applyRequestOf(parts, call, uploads);
      return apply(of(request), parser, request, call);
    },
    export: (request, call) => streamFor(context, request, call, exportAll),
    listRevisions: (request, call) => listRevisions(of(request), request, call),
    getRevision: (request, call) => getRevision(of(request), request, call),
    diff: (request, call) => diffRevisions(of(request), request, call),
    rollback: (request, call) => rollback(of(request), request, call),
    adopt: (request) => adopt(of(request), request),
    watch: (request, call) => streamFor(context, request, call, watch),
    waitForRevision: (request, call) =>
      streamFor(context, request, call, waitForRevision),
  };
}
