import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import {
  TransactRequestSchema,
  type ApplyRequest,
  type DeleteRequest,
  type PutRequest,
  type RollbackRequest,
  type TransactRequest,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { keyOf, parseKey } from "../../model/kinds.ts";
import type { Operation, TransactResult } from "../catalog/operation.ts";
import { decodeResource } from "../catalog/resource.ts";
import { writeAnswer, type WriteAnswer } from "./answers.ts";
import { callerOf } from "./caller.ts";
import type { AdminDeps } from "./deps.ts";
import type { FileParser } from "./parse-files.ts";
import { RequestForm, workspaceOf } from "./request-form.ts";
import { showing } from "./secrets.ts";

/** Creates or wholly replaces one resource. */
export async function putResource(
  { catalog }: AdminDeps,
  request: PutRequest,
  call: HandlerContext,
): Promise<WriteAnswer & { resource: Resource }> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const operation = put(request.resource, "resource", form);
  form.check();
  const result = await catalog.transact([operation], {
    author: callerOf(call),
  });
  return {
    ...(await writeAnswer(result, call)),
    resource: showing({
      // What was made up is told this once.
      includeSecrets: request.includeSecrets || isCreated(result),
    })(await stored(catalog, result)),
  };
}

/** Removes one resource and what belongs to it. */
export async function deleteResource(
  { catalog }: AdminDeps,
  request: DeleteRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const kind = form.kind(request.kind);
  const by = form.by(request.by);
  form.check();
  const operation = { type: "delete", kind, ...by } as const;
  const { allowMassDelete } = request;
  const result = await catalog.transact([operation], {
    author: callerOf(call),
    allowMassDelete,
  });
  return writeAnswer(result, call);
}

/** Does several operations as one revision, or none of them. */
export async function transact(
  { catalog }: AdminDeps,
  request: TransactRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const operations = request.operations.map(({ operation }, i): Operation => {
    const field = `operations[${i}]`;
    if (operation.case !== "delete")
      return put(operation.value, `${field}.put`, form);
    const { kind, by } = operation.value;
    return {
      type: "delete",
      kind: form.kind(kind, `${field}.delete.kind`),
      ...form.by(by, `${field}.delete`),
    };
  });
  const { expectedRevision, idempotencyKey, dryRun, allowMassDelete } = request;
  form.text("idempotency_key", idempotencyKey, 128);
  const note = form.note(request, call);
  form.check();
  call.signal.throwIfAborted();
  const result = await catalog.transact(operations, {
    ...note,
    ...(expectedRevision === undefined ? {} : { expectedRevision }),
    ...(idempotencyKey === ""
      ? {}
      : { idempotencyKey, requestDigest: digestOf(request) }),
    dryRun,
    allowMassDelete,
  });
  return writeAnswer(result, call);
}

/** Brings in declarative files as one revision, or nothing of them. */
export async function apply(
  { catalog }: AdminDeps,
  parser: FileParser,
  request: ApplyRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const { files, prune, dryRun, allowMassDelete, expectedRevision } = request;
  if (files.length === 0) form.refuse("files", "is empty: give at least one");
  form.tags("select_tags", request.selectTags);
  const note = form.note(request, call);
  form.check();
  const parsed = await parser.parse(
    files,
    { workspace: catalog.workspace, selectTags: request.selectTags },
    call.signal,
  );
  call.signal.throwIfAborted();
  const result = await catalog.apply(parsed, {
    ...note,
    ...(expectedRevision === undefined ? {} : { expectedRevision }),
    prune,
    dryRun,
    allowMassDelete,
  });
  return writeAnswer(result, call);
}

/** Makes a new revision with the content of an older one. */
export async function rollback(
  { catalog }: AdminDeps,
  request: RollbackRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  workspaceOf(request, catalog.workspace);
  const form = new RequestForm();
  const note = form.note(request, call);
  form.check();
  const { revision, expectedRevision, dryRun, allowMassDelete } = request;
  const result = await catalog.rollback(revision, {
    ...note,
    ...(expectedRevision === undefined ? {} : { expectedRevision }),
    dryRun,
    allowMassDelete,
  });
  return writeAnswer(result, call);
}

function put(
  resource: Resource | undefined,
  field: string,
  form: RequestForm,
): Operation {
  if (resource?.kind.case !== undefined) return { type: "put", resource };
  form.refuse(
    field,
    'is missing: give a resource by its kind, such as {"service": {"name": "pay", "host": "pay.internal"}}',
  );
  return { type: "delete", kind: "service" };
}

function isCreated({ keys: [key], changes }: TransactResult): boolean {
  return changes.some(
    ({ kind, id, action }) => action === "create" && keyOf(kind, id) === key,
  );
}

/** What was put, as it is in the state that the put led to. */
async function stored(
  catalog: AdminDeps["catalog"],
  { keys, head }: TransactResult,
): Promise<Resource> {
  const [key = ""] = keys;
  const value = head.snapshot.get(key);
  const parts = parseKey(key);
  if (value === undefined || parts === undefined)
    throw new TypeError(`what was put as "${key}" is not there`);
  if (catalog.head.cursor.revision === head.cursor.revision)
    return (await catalog.get(parts.kind, parts)).resource;
  // Somebody has gone on already. Only the times are missing from this one.
  return decodeResource(value);
}

function digestOf(request: TransactRequest): string {
  return createHash("sha256")
    .update(toBinary(TransactRequestSchema, request))
    .digest("hex");
}
