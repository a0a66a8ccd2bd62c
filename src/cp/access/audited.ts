import { isUuid } from "../../model/ids.ts";
import { kindOf, kindOfResource, type Kind } from "../../model/kinds.ts";
import { nameOf } from "../../model/unique.ts";
import type { Resource } from "../../gen/holdfast/config/v1/resource_pb.js";
import { ResourceSchema } from "../../gen/holdfast/config/v1/resource_pb.js";
import { isMessage } from "@bufbuild/protobuf";
import { MAX_RESOURCES, type AuditedResource } from "../audit/record.ts";

/** What a call is about, or has done. */
export interface Audited {
  readonly resources: readonly AuditedResource[];
  readonly resourceCount: number;
}

/** What a request is about, as far as that can be read off it and is no secret. */
export function requestedBy(request: object): Audited {
  const fields = request as Readonly<Record<string, unknown>>;
  const { resource, operations, kind, by, id, to } = fields;
  if (isMessage(resource, ResourceSchema)) return audited([put(resource)]);
  if (Array.isArray(operations)) {
    const all = (operations as readonly unknown[]).slice(0, MAX_RESOURCES);
    return audited(all.flatMap(operationOf), operations.length);
  }
  if (typeof kind === "string") return audited([deletion(kind, by)]);
  if (typeof id === "string") return audited([named("node", id)]);
  if (typeof to === "string") return audited([named("workspace", to)]);
  return audited([]);
}

/** What an answer says that was done: the changes, and the revision they are in. */
export function doneBy(
  answer: object | undefined,
): (Audited & { readonly revision: number }) | undefined {
  const fields = (answer ?? {}) as Readonly<Record<string, unknown>>;
  const { changes, revision } = fields;
  if (!Array.isArray(changes) || typeof revision !== "bigint") return undefined;
  const first = (changes as readonly unknown[]).slice(0, MAX_RESOURCES);
  return {
    ...audited(first.map(changeOf), changes.length),
    // A call that changed nothing answers the revision it found.
    revision: changes.length === 0 ? 0 : Number(revision),
  };
}

function audited(
  resources: readonly AuditedResource[],
  resourceCount = resources.length,
): Audited {
  return { resources, resourceCount };
}

function operationOf(value: unknown): AuditedResource[] {
  const { operation } = value as {
    readonly operation?: { readonly case?: unknown; readonly value?: unknown };
  };
  if (isMessage(operation?.value, ResourceSchema))
    return [put(operation.value)];
  if (operation?.case !== "delete") return [];
  const { kind, by } = operation.value as Readonly<Record<string, unknown>>;
  return typeof kind === "string" ? [deletion(kind, by)] : [];
}

function put(resource: Resource): AuditedResource {
  const { value } = resource.kind;
  return asked(kindOfResource(resource), value?.id ?? "", nameOf(resource));
}

function deletion(word: string, by: unknown): AuditedResource {
  // A list is of a kind, and by nothing.
  const { case: how, value } = (by ?? {}) as {
    readonly case?: unknown;
    readonly value?: unknown;
  };
  const text = typeof value === "string" ? value : "";
  const kind = kindOf(word);
  return how === "id" ? asked(kind, text, "") : asked(kind, "", text);
}

/** Whatever was asked for may be a secret in the wrong place, so only what is unlikely to be one is kept. */
function asked(
  kind: Kind | undefined,
  id: string,
  name: string,
): AuditedResource {
  if (kind === undefined) return named("", "");
  return {
    ...named(kind, WITHOUT_NAME.test(kind) ? "" : name),
    id: isUuid(id) ? id : "",
  };
}

/** Credentials, which may be looked for by what is a secret, and what has no name but its id. */
const WITHOUT_NAME =
  /_credential$|_secret$|^certificate$|^consumer_group_consumer$/;

function changeOf(value: unknown): AuditedResource {
  const { kind, id, name, action } = value as Readonly<Record<string, unknown>>;
  return {
    kind: String(kind),
    id: String(id),
    name: short(String(name)),
    action: String(action),
  };
}

function named(kind: string, name: string): AuditedResource {
  return { kind, id: "", name: short(name), action: "" };
}

/** A record stays small whatever a request has, also as JSON, which needs six bytes for what cannot be printed. */
export function short(text: string): string {
  const cut = text.length > 128 ? `${text.slice(0, 128)}…` : text;
  return cut.replaceAll(UNPRINTABLE, "?");
}

/** Control characters, ends of lines, and halves of surrogate pairs. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu;
