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
  type ResourceChange,
  type Revision,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  ResourceSchema,
  type Resource,
} from "../../gen/holdfast/config/v1/resource_pb.js";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { idOf } from "../../model/messages.ts";
import { ConfigError } from "../../model/violation.ts";
import type { ChangeDetail } from "../catalog/history.ts";
import { decodePageToken, encodePageToken } from "../catalog/pages.ts";
import { mapped, revisionOf } from "./answers.ts";
import { resourceChangeOf } from "./change-answers.ts";
import type { AdminDeps } from "./deps.ts";
import { guardLookup } from "./guesses.ts";
import { RequestForm } from "./request-form.ts";
import { Room } from "./room.ts";
import { showing } from "./secrets.ts";

/** Reads one resource. */
export async function getResource(
  { catalog }: AdminDeps,
  request: GetRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof GetResponseSchema>> {
  const form = new RequestForm();
  const kind = form.kind(request.kind);
  const by = form.by(request.by);
  form.check();
  guardLookup(call, request, kind, by);
  const { resource, revision } = await catalog.get(kind, by);
  return { resource: showing(request)(resource), revision };
}

/** Reads a page of the resources of a kind; a shorter one than asked for when they are large. */
export async function listResources(
  { catalog }: AdminDeps,
  request: ListRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof ListResponseSchema>> {
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
  if (refersTo !== undefined)
    guardLookup(call, request, refersTo.kind, refersTo);
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

/** Reads one revision with what each resource was before and after it, a page at a time. */
export async function getRevision(
  { catalog }: AdminDeps,
  request: GetRevisionRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof GetRevisionResponseSchema>> {
  const list = `revision ${request.revision}`;
  const place = placeOf(decodePageToken(list, request.pageToken));
  const { revision, changes } = await catalog.revision(request.revision);
  const { shown, next } = await pageOf(changes, place.index, request, call, {
    fields: true,
  });
  return {
    revision: await revisionOf(revision, call),
    changes: shown,
    nextPageToken: next === undefined ? "" : encodePageToken(list, `${next}`),
  };
}

/** Compares two revisions, a page at a time. */
export async function diffRevisions(
  { catalog }: AdminDeps,
  request: DiffRequest,
  call: HandlerContext,
): Promise<MessageInitShape<typeof DiffResponseSchema>> {
  const list = `diff from ${request.fromRevision} to ${request.toRevision ?? "the head"}`;
  const place = placeOf(decodePageToken(list, request.pageToken));
  const { from, to, changes } = await catalog.diff(
    request.fromRevision,
    // What was the head for the first page.
    request.toRevision ?? place.revision,
  );
  const { shown, next } = await pageOf(changes, place.index, request, call, {
    fields: false,
  });
  return {
    from,
    to,
    changes: shown,
    changeCount: changes.length,
    nextPageToken:
      next === undefined ? "" : encodePageToken(list, `${next}/${to.revision}`),
  };
}

/** A page of changes, as long as was asked for and there is room for, and where the next one begins. */
async function pageOf(
  changes: readonly ChangeDetail[],
  index: number,
  request: { readonly pageSize: number; readonly includeSecrets: boolean },
  call: HandlerContext,
  wanted: { readonly fields: boolean },
): Promise<{ readonly shown: ResourceChange[]; readonly next?: number }> {
  const { pageSize } = request;
  const form = new RequestForm();
  if (pageSize < 0)
    form.refuse("page_size", `must not be negative, got ${pageSize}`);
  form.check();
  const show = showing(request);
  const left = changes.slice(
    index,
    pageSize === 0 ? undefined : index + pageSize,
  );
  const shown = await new Room(call).fitInTurns(
    ResourceChangeSchema,
    mapped(left, (change) => resourceChangeOf(change, show, wanted)),
  );
  const next = index + shown.length;
  return next < changes.length ? { shown, next } : { shown };
}

/** The place in a list of changes: how many come before it, and the revision that the list leads to. */
function placeOf(place: string): {
  readonly index: number;
  readonly revision?: bigint;
} {
  if (place === "") return { index: 0 };
  const [, index = "", revision] =
    /^(\d{1,15})(?:\/(\d{1,20}))?$/.exec(place) ?? [];
  if (index === "")
    throw new ConfigError("invalid_argument", `page_token: bad place ${place}`);
  return {
    index: Number(index),
    ...(revision === undefined ? {} : { revision: BigInt(revision) }),
  };
}
