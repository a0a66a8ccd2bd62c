import {
  toJson,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
} from "@bufbuild/protobuf";
import { timestampDate, type Timestamp } from "@bufbuild/protobuf/wkt";
import { stringify } from "yaml";
import type { Output } from "./io.ts";

/** How answers are printed. */
export const FORMATS = ["table", "json", "yaml"] as const;
export type Format = (typeof FORMATS)[number];

/** A message as JSON with the field names of the .proto files. */
export function json<D extends DescMessage>(
  schema: D,
  message: MessageShape<D>,
): JsonValue {
  return toJson(schema, message, { useProtoFieldName: true });
}

/** An answer that is a list, with the list there also when it is empty. */
export function listJson<D extends DescMessage>(
  field: string,
  schema: D,
  message: MessageShape<D>,
): JsonValue {
  return { [field]: [], ...(json(schema, message) as JsonObject) };
}

/** Writes a value for programs: one document. */
export function writeValue(
  out: Output,
  format: "json" | "yaml",
  value: JsonValue,
): void {
  out.write(
    format === "json"
      ? `${JSON.stringify(value, undefined, 2)}\n`
      : yaml(value),
  );
}

/** Writes one of many values for programs: a line of JSON, or a document of YAML. */
export function writeEvent(
  out: Output,
  format: "json" | "yaml",
  value: JsonValue,
): void {
  out.write(
    format === "json" ? `${JSON.stringify(value)}\n` : `---\n${yaml(value)}`,
  );
}

/** YAML without folded lines and without anchors. */
export function yaml(value: JsonValue): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });
}

/** A point in time for people, in UTC: `2026-08-23 10:15:00Z`. */
export function timeText(time: Timestamp | undefined): string {
  if (time === undefined) return "";
  return timestampDate(time)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+/, "");
}
