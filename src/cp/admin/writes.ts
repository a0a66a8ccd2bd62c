import type { Message } from "@bufbuild/protobuf";
import type { FieldMask } from "@bufbuild/protobuf/wkt";
import type { HandlerContext } from "@connectrpc/connect";
import type {
  ApplyRequest,
  DeleteRequest,
  PutRequest,
  RollbackRequest,
  TransactRequest,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { keyOf, parseKey } from "../../model/kinds.ts";
import type {
  Operation,
  TransactOptions,
  TransactResult,
} from "../catalog/operation.ts";
import { decodeResource } from "../catalog/resource.ts";
import { mapped, writeAnswer, type WriteAnswer } from "./answers.ts";
import type { AdminDeps } from "./deps.ts";
import { digestOf } from "./digest.ts";
import { guardLookup, guardMasked, guardTrial } from "./guesses.ts";
import type { FileParser } from "./parse-files.ts";
import { RequestForm } from "./request-form.ts";
import { showing } from "./secrets.ts";

/** Creates or wholly replaces one resource. */
export async function putResource(
  { catalog }: AdminDeps,
  request: PutRequest,
  call: HandlerContext,
): Promise<WriteAnswer & { resource?: Resource }> {
  const form = new RequestForm();
  const operation = put(request, "resource", form);
  const options = await writeOptions(request, form, call);
  await guardTrial(call, request, resourcesOf([operation]));
  const result = await catalog.transact([operation], options);
  const answer = await writeAnswer(result, call, request);
  // What would be refused may hold a secret that only its rules would have told.
  if (answer.violations.length > 0) return answer;
  const resource = await stored(catalog, result);
  // What was made up is told this once.
  const includeSecrets = request.includeSecrets || isCreated(result);
  const show = showing({ includeSecrets });
  return {
    ...answer,
    ...(resource === undefined ? {} : { resource: show(resource) }),
  };
}

/** Removes one resource and what belongs to it. */
export async function deleteResource(
  { catalog }: AdminDeps,
  request: DeleteRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  const form = new RequestForm();
  const kind = form.kind(request.kind);
  const by = form.by(request.by);
  const { allowMassDelete } = request;
  const options = await writeOptions(request, form, call);
  const operation = { type: "delete", kind, ...by } as const;
  guardLookup(call, request, kind, by);
  const result = await catalog.transact([operation], {
    ...options,
    allowMassDelete,
  });
  return writeAnswer(result, call, request);
}

/** Does several operations as one revision, or none of them. */
export async function transact(
  { catalog }: AdminDeps,
  request: TransactRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  const form = new RequestForm();
  const operations = request.operations.map((one, i): Operation => {
    const { operation, updateMask } = one;
    const field = `operations[${i}]`;
    if (operation.case !== "delete")
      return put(
        { resource: operation.value, updateMask },
        `${field}.put`,
        form,
      );
    if (updateMask !== undefined)
      form.refuse(`${field}.update_mask`, "is for puts, and this is a delete");
    const { kind, by } = operation.value;
    return {
      type: "delete",
      kind: form.kind(kind, `${field}.delete.kind`),
      ...form.by(by, `${field}.delete`),
    };
  });
  const { allowMassDelete } = request;
  const options = await writeOptions(request, form, call);
  for (const operation of operations)
    if (operation.type === "delete")
      guardLookup(call, request, operation.kind, operation);
  await guardTrial(call, request, resourcesOf(operations));
  const result = await catalog.transact(operations, {
    ...options,
    allowMassDelete,
  });
  return writeAnswer(result, call, request);
}

/** Brings in declarative files as one revision, or nothing of them. */
export async function apply(
  { catalog }: AdminDeps,
  parser: FileParser,
  request: ApplyRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  const form = new RequestForm();
  const { files, prune, allowMassDelete, selectTags } = request;
  if (files.length === 0) form.refuse("files", "is empty: give at least one");
  form.tags("select_tags", selectTags);
  const options = await writeOptions(request, form, call);
  const parsed = await parser.parse(
    files,
    { workspace: catalog.workspace, selectTags },
    call.signal,
  );
  call.signal.throwIfAborted();
  await guardTrial(
    call,
    request,
    mapped(parsed.entities, ({ resource }) => resource),
  );
  const result = await catalog.apply(parsed, {
    ...options,
    prune,
    allowMassDelete,
  });
  return writeAnswer(result, call, request);
}

/** Makes a new revision with the content of an older one. */
export async function rollback(
  { catalog }: AdminDeps,
  request: RollbackRequest,
  call: HandlerContext,
): Promise<WriteAnswer> {
  const form = new RequestForm();
  const { revision, allowMassDelete } = request;
  const options = await writeOptions(request, form, call);
  const result = await catalog.rollback(revision, {
    ...options,
    allowMassDelete,
  });
  return writeAnswer(result, call, request);
}

/** What every request for a change says about how it is to be done. @throws ConfigError with all that is wrong with its form. */
async function writeOptions(
  request: Message &
    Pick<
      TransactRequest,
      | "expectedRevision"
      | "idempotencyKey"
      | "dryRun"
      | "includeViolations"
      | "author"
      | "message"
    >,
  form: RequestForm,
  call: HandlerContext,
): Promise<TransactOptions> {
  const { expectedRevision, idempotencyKey, dryRun } = request;
  form.text("idempotency_key", idempotencyKey, 128);
  if (request.includeViolations && !dryRun)
    form.refuse("include_violations", "is for dry runs: set dry_run too");
  const note = form.note(request, call);
  form.check();
  const { signal } = call;
  signal.throwIfAborted();
  return {
    ...note,
    ...guardMasked(call, request),
    ...(expectedRevision === undefined ? {} : { expectedRevision }),
    ...(idempotencyKey === ""
      ? {}
      : { idempotencyKey, requestDigest: await digestOf(request, signal) }),
    dryRun,
  };
}

function* resourcesOf(operations: readonly Operation[]): Generator<Resource> {
  for (const operation of operations)
    if (operation.type === "put") yield operation.resource;
}

function put(
  {
    resource,
    updateMask,
  }: {
    readonly resource?: Resource | undefined;
    readonly updateMask?: FieldMask | undefined;
  },
  field: string,
  form: RequestForm,
): Operation {
  if (resource?.kind.case !== undefined)
    return {
      type: "put",
      resource,
      ...(updateMask === undefined ? {} : { mask: updateMask.paths }),
    };
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

/** What was put, as it is in the state that the put led to. Undefined when a repeated call finds it deleted. */
async function stored(
  catalog: AdminDeps["catalog"],
  { keys, head, dryRun }: TransactResult,
): Promise<Resource | undefined> {
  const [key = ""] = keys;
  const value = dryRun?.planned(key) ?? head.snapshot.get(key);
  const parts = parseKey(key);
  if (value === undefined || parts === undefined) return undefined;
  if (
    dryRun === undefined &&
    catalog.head.cursor.revision === head.cursor.revision
  )
    return (await catalog.get(parts.kind, parts)).resource;
  // Planned only, or somebody has gone on already. Only the times are missing from this one.
  return decodeResource(value);
}
