import type { ServiceImpl } from "@connectrpc/connect";
import type { ConfigService } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { adopt } from "./adopt.ts";
import type { AdminDeps } from "./deps.ts";
import { FileParser } from "./parse-files.ts";
import {
  diffRevisions,
  exportAll,
  getResource,
  getRevision,
  listResources,
  listRevisions,
} from "./reads.ts";
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
  deps: AdminDeps,
): Required<ServiceImpl<typeof ConfigService>> {
  const parser = new FileParser();
  return {
    put: (request, call) => putResource(deps, request, call),
    get: (request) => getResource(deps, request),
    list: (request, call) => listResources(deps, request, call),
    delete: (request, call) => deleteResource(deps, request, call),
    transact: (request, call) => transact(deps, request, call),
    transactStream: async (parts, call) =>
      transact(deps, await transactRequestOf(parts, call.signal), call),
    apply: (request, call) => apply(deps, parser, request, call),
    applyStream: async (parts, call) =>
      apply(deps, parser, await applyRequestOf(parts), call),
    export: (request, call) => exportAll(deps, request, call),
    listRevisions: (request, call) => listRevisions(deps, request, call),
    getRevision: (request, call) => getRevision(deps, request, call),
    diff: (request, call) => diffRevisions(deps, request, call),
    rollback: (request, call) => rollback(deps, request, call),
    adopt: (request) => adopt(deps, request),
    watch: (request, call) => watch(deps, request, call),
    waitForRevision: (request, call) => waitForRevision(deps, request, call),
  };
}
