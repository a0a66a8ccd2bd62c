import type { HandlerContext } from "@connectrpc/connect";
import {
  ResourceChangeSchema,
  RevisionSchema,
  type DiffRequest,
  type DiffResponseSchema,
  type ExportRequest,
  type ExportResponseSchema,
  type GetRequest,
  type GetResponseSchema,
  type GetRevisionRequest,
  type GetRevisionResponseSchema,
  type ListRequest,
  type ListResponseSchema,
  type ListRevisionsRequest,
  type ListRevisionsResponseSchema,
  type Revision,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { idOf } from "../../model/messages.ts";
import { encodePageToken } from "../catalog/pages.ts";
import { mapped, resourceChangeOf, revisionOf } from "./answers.ts";
import type { AdminDeps } from "./deps.ts";
import { RequestForm, workspaceOf } from "./request-form.ts";
import { Room } from "./room.ts";
import { showing } from "./secrets.ts";

/** Reads one resource. */
export async function getResource(
  { catalog }: AdminDeps,
  request: GetRequest,
): Promise<MessageInitShape<typeof GetResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const kind = form.kind(request.kind);
  const by = form.by(request.by);
  form.check();
  const { resource, revision } = await catalog.get(kind, by);
  return { resource: showing(request)(resource), revision };
}

/** Reads a page of the resources of a kind; a shorter one than asked for when they are large. */
export async function listResources(
  { catalog }: AdminDeps,
  request: ListRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof ListResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const kind = form.kind(request.kind);
  const pageSize = form.pageSize(request.pageSize);
  const { namePrefix, pageToken } = request;
  const tags = form.tags("tags", request.tags);
  const anyTags = form.tags("any_tags", request.anyTags);
  const refersTo =
    request.refersTo === undefined
      ? undefined
      : {
          kind: form.kind(request.refersTo.kind, "refers_to.kind"),
          ...form.by(request.refersTo.by, "refers_to"),
        };
  form.check();
  const page = await catalog.list({
    kind,
    tags,
    anyTags,
    namePrefix,
    ...(refersTo === undefined ? {} : { refersTo }),
    pageSize,
    pageToken,
  });
  const resources = await new Room(call).fitInTurns(
    ResourceSchema,
    mapped(page.resources, showing(request)),
  );
  const last = resources.at(-1);
  const isCut = resources.length < page.resources.length;
  return {
    resources,
    nextPageToken:
      isCut && last !== undefined
        ? page.tokenAfter(idOf(last))
        : page.nextPageToken,
  };
}

/** Reads everything, as of one revision. */
export async function* exportAll(
  { catalog }: AdminDeps,
  request: ExportRequest,
  call: HandlerContext,
): AsyncGenerator<MessageInitShape<typeof ExportResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  for await (const { cursor, resources } of catalog.export()) {
    call.signal.throwIfAborted();
    const show = showing(request);
    let left: readonly Resource[] = resources;
    do {
      // The first always fits: a value is at most 256 KiB.
      const fitted = await new Room(call).fitInTurns(
        ResourceSchema,
        mapped(left, show),
      );
      yield { cursor, resources: fitted };
      left = left.slice(Math.max(1, fitted.length));
    } while (left.length > 0);
  }
}

/** Reads a page of the history, newest first; a shorter one than asked for when revisions are large. */
export async function listRevisions(
  { catalog }: AdminDeps,
  request: ListRevisionsRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof ListRevisionsResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const pageSize = form.pageSize(request.pageSize);
  form.check();
  const { pageToken } = request;
  const page = await catalog.history({ pageSize, pageToken });
  const room = new Room(call);
  const revisions: Revision[] = [];
  for (const info of page.revisions) {
    const revision = await revisionOf(info, call);
    if (!room.take(RevisionSchema, revision)) break;
    revisions.push(revision);
  }
  const last = revisions.at(-1)?.cursor;
  const isCut = revisions.length < page.revisions.length;
  return {
    revisions,
    nextPageToken:
      isCut && last !== undefined
        ? encodePageToken("revisions", last.revision.toString())
        : page.nextPageToken,
  };
}

/** Reads one revision with what each resource was before and after it. */
export async function getRevision(
  { catalog }: AdminDeps,
  request: GetRevisionRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof GetRevisionResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  const { revision, changes } = await catalog.revision(request.revision);
  const show = showing(request);
  return {
    revision: await revisionOf(revision, call),
    changes: await new Room(call).fitInTurns(
      ResourceChangeSchema,
      mapped(changes, (change) => resourceChangeOf(change, show)),
    ),
  };
}

/** Compares two revisions. */
export async function diffRevisions(
  { catalog }: AdminDeps,
  request: DiffRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof DiffResponseSchema>> {
  workspaceOf(request, catalog.workspace);
  const { from, to, changes } = await catalog.diff(
    request.fromRevision,
    request.toRevision,
  );
  const show = showing(request);
  return {
    from,
    to,
    changes: await new Room(call).fitInTurns(
      ResourceChangeSchema,
      mapped(changes, (change) => resourceChangeOf(change, show)),
    ),
    changeCount: changes.length,
  };
}
