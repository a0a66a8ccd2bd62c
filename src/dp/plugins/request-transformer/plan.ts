import type { RequestTransformerConfig } from "../../../gen/holdfast/plugin/v1/request_transformer_pb.js";
import { compileTemplate, type Template } from "./template.ts";

/** Something that is set. */
interface Setting {
  readonly name: string;
  readonly value: Template;
}

/** What is done to one part of requests, in this order. */
export interface Plan {
  readonly remove: readonly string[];
  readonly rename: readonly Setting[];
  readonly replace: readonly Setting[];
  readonly add: readonly Setting[];
  readonly append: readonly Setting[];
}

/** What a configuration has for one part of requests. */
export function planOf(
  { remove, rename, replace, add, append }: RequestTransformerConfig,
  part: "headers" | "querystring" | "body",
): Plan {
  const settings = (pairs: readonly string[] = []): Setting[] =>
    pairs.map((pair) => {
      const colon = pair.indexOf(":");
      return {
        name: pair.slice(0, colon),
        value: compileTemplate(pair.slice(colon + 1)),
      };
    });
  return {
    remove: remove?.[part] ?? [],
    rename: settings(rename?.[part]),
    replace: settings(replace?.[part]),
    add: settings(add?.[part]),
    append: settings(append?.[part]),
  };
}

/** Whether a plan does anything. */
export function touches(plan: Plan): boolean {
  return Object.values(plan).some(
    (steps: readonly unknown[]) => steps.length > 0,
  );
}
