import { toJson, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import {
  ResourceSchema,
  type Resource,
} from "../gen/holdfast/config/v1/resource_pb.js";
import { readJson } from "./json-form.ts";
import { kindOf, type Kind } from "./kinds.ts";
import type { Problem } from "./problem.ts";
import type { Violation } from "./violation.ts";

/** A resource in the JSON form of answers and requests: `{"route": {"name": …}}`, with the names of the .proto files. */
export function resourceToJson(resource: Resource): JsonObject {
  return toJson(ResourceSchema, resource, {
    useProtoFieldName: true,
  }) as JsonObject;
}

/** Reads a resource's JSON form, in both spellings of field names. Unknown fields are refused; all problems are found. */
export function resourceFromJson(
  json: JsonValue,
):
  | { readonly ok: true; readonly resource: Resource }
  | { readonly ok: false; readonly violations: readonly Violation[] } {
  const read = readJson(ResourceSchema, json);
  if (read.ok) return { ok: true, resource: read.message };
  return {
    ok: false,
    violations: read.problems.map((problem) => violationOf(json, problem)),
  };
}

/** Problems are found from the resource down; violations name the kind apart. */
function violationOf(json: JsonValue, problem: Problem): Violation {
  const [first = "", ...rest] = problem.field.split(".");
  const kind = kindOf(first);
  if (kind === undefined)
    return { kind: "", name: "", field: problem.field, reason: problem.reason };
  return {
    kind,
    name: givenName(json, kind),
    field: rest.join("."),
    reason: problem.reason,
  };
}

/** What a resource that cannot be read calls itself. */
function givenName(json: JsonValue, kind: Kind): string {
  const body = Object.values(json as JsonObject)[0];
  if (typeof body !== "object" || body === null || Array.isArray(body))
    return "";
  for (const field of NAME_FIELDS[kind] ?? ["name", "id"]) {
    const value = body[field];
    if (typeof value === "string" && value !== "") return value;
  }
  return "";
}

const NAME_FIELDS: Partial<Record<Kind, readonly string[]>> = {
  consumer: ["username", "custom_id", "id"],
  basicauth_credential: ["username", "id"],
  hmacauth_credential: ["username", "id"],
  oauth2_credential: ["client_id", "name", "id"],
  vault: ["prefix", "id"],
  consumer_group_consumer: ["id"],
  acl: ["group", "id"],
  target: ["target", "id"],
  plugin: ["instance_name", "name", "id"],
  keyauth_credential: ["id"],
  jwt_secret: ["key", "id"],
};
