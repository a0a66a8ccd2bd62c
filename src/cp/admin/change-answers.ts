import { create } from "@bufbuild/protobuf";
import {
  ChangeSchema,
  FieldChangeSchema,
  ResourceChangeSchema,
  type Change,
  type FieldChange,
  type ResourceChange,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import {
  fieldChanges,
  type FieldChange as ModelFieldChange,
} from "../../model/field-changes.ts";
import type { ChangeDetail } from "../catalog/history.ts";
import type { ChangeInfo } from "../catalog/operation.ts";
import { decodeResource } from "../catalog/resource.ts";
import type { Show } from "./secrets.ts";

/** The fields of one changed resource that an answer lists. */
const FIELDS = 100;

/** So much is shown of a value, in characters. */
const VALUE_CHARACTERS = 1024;

/** What happened to a resource. */
export function changeOf({ kind, id, name, action }: ChangeInfo): Change {
  return create(ChangeSchema, { kind, id, name, action });
}

/** A change with the resource before and after it, and with its fields if those shall be told. */
export function resourceChangeOf(
  detail: ChangeDetail,
  show: Show,
  { fields }: { readonly fields: boolean },
): ResourceChange {
  const { change, before, after } = detail;
  return create(ResourceChangeSchema, {
    change: fields ? detailedChangeOf(detail, show) : changeOf(change),
    ...(before === undefined ? {} : { before: show(decodeResource(before)) }),
    ...(after === undefined ? {} : { after: show(decodeResource(after)) }),
  });
}

/** A change with the fields that are different, where it is known what was before. */
export function detailedChangeOf(
  { change, before, after }: ChangeDetail,
  show: Show,
): Change {
  const told = changeOf(change);
  if (before === undefined || after === undefined) return told;
  const fields = fieldChanges(
    decodeResource(before),
    decodeResource(after),
    show,
  );
  told.fields = fields.slice(0, FIELDS).map(fieldChangeOf);
  told.fieldCount = fields.length;
  return told;
}

function fieldChangeOf(field: ModelFieldChange): FieldChange {
  const { path, before, after, secret } = field;
  return create(FieldChangeSchema, {
    path,
    secret,
    ...(before === undefined ? {} : { before: cut(before) }),
    ...(after === undefined ? {} : { after: cut(after) }),
  });
}

/** The beginning of a text, whole characters only. */
function cut(text: string): string {
  return text.length <= VALUE_CHARACTERS
    ? text
    : `${text.slice(0, VALUE_CHARACTERS).replace(/[\ud800-\udbff]$/, "")}…`;
}
