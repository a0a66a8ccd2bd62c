import type { JsonObject } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { fillDefaults } from "../../src/model/defaults.ts";
import { checkResource } from "../../src/model/rules.ts";
import { resourceOf } from "./arbitrary-resource.ts";

/** What is wrong with a resource in its JSON form, as "field: reason". */
export function problemsOf(json: JsonObject): string[] {
  return checkResource(fillDefaults(resourceOf(json))).map(
    ({ field, reason }) => `${field}: ${reason}`,
  );
}

/** Matches as many problems, each with one of these texts in it, in this order. */
export function lines(...texts: readonly string[]): unknown {
  return texts.map((text) => expect.stringContaining(text) as unknown);
}
