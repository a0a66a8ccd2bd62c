import type { JsonValue } from "@bufbuild/protobuf";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type {
  ResponsePairs,
  ResponseTransformerConfig,
} from "../../../gen/holdfast/plugin/v1/response_transformer_pb.js";
import type { WholeResponse } from "../plugin.ts";

type Fields = Map<string, JsonValue>;

/** Changes the fields of a JSON object. */
export type JsonStep = (fields: Fields) => void;

/** What a configuration does to JSON, in order. */
export function jsonSteps({
  remove,
  rename,
  replace,
  add,
  append,
}: ResponseTransformerConfig): JsonStep[] {
  return [
    ...(remove?.json ?? []).map((name): JsonStep => (fields) => {
      fields.delete(name);
    }),
    ...(rename?.json ?? []).map((pair): JsonStep => {
      const [name, next] = split(pair);
      return (fields) => {
        const value = fields.get(name);
        if (value === undefined) return;
        fields.delete(name);
        fields.set(next, value);
      };
    }),
    ...settings(replace).map(([name, value]): JsonStep => (fields) => {
      if (fields.has(name)) fields.set(name, value);
    }),
    ...settings(add).map(([name, value]): JsonStep => (fields) => {
      if (!fields.has(name)) fields.set(name, value);
    }),
    ...settings(append).map(([name, value]): JsonStep => (fields) => {
      const before = fields.get(name);
      const list = Array.isArray(before)
        ? before
        : before === undefined
          ? []
          : [before];
      fields.set(name, [...list, value]);
    }),
  ];
}

/** Changes an answer's JSON in place. Anything but an object stays as it is. */
export async function transformJson(
  response: WholeResponse,
  steps: readonly JsonStep[],
): Promise<"changed" | "unreadable"> {
  const { headers } = response;
  const coding = headers.get("Content-Encoding").join().trim().toLowerCase();
  const zipped = coding === "gzip";
  if (coding !== "" && coding !== "identity" && !zipped)
    throw new Error(
      `a body in the coding "${coding}" cannot be transformed; only gzip is undone`,
    );
  const plain = zipped
    ? await promisify(gunzip)(response.body, { maxOutputLength: MAX_INFLATED })
    : response.body;
  const fields = read(plain);
  if (fields === undefined) return "unreadable";
  for (const step of steps) step(fields);
  const out = Buffer.from(JSON.stringify(Object.fromEntries(fields)), "utf8");
  response.body = zipped ? await promisify(gzip)(out) : out;
  return "changed";
}

const MAX_INFLATED = 32 * 1024 * 1024;

function read(body: Buffer): Fields | undefined {
  try {
    const value = JSON.parse(body.toString("utf8")) as JsonValue;
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? new Map(Object.entries(value))
      : undefined;
  } catch {
    return undefined;
  }
}

function settings(
  pairs: ResponsePairs | undefined,
): (readonly [name: string, value: JsonValue])[] {
  return (pairs?.json ?? []).map((pair, i) => {
    const [name, text] = split(pair);
    return [name, typed(text, pairs?.jsonTypes[i])];
  });
}

function split(pair: string): readonly [name: string, value: string] {
  const colon = pair.indexOf(":");
  return [pair.slice(0, colon), pair.slice(colon + 1)];
}

function typed(text: string, type: string | undefined): JsonValue {
  switch (type) {
    case "number":
      return Number(text);
    case "boolean":
      return text === "true";
    default:
      return text;
  }
}
