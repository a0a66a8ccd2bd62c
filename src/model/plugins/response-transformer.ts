import {
  ResponseTransformerConfigSchema,
  type ResponsePairs,
} from "../../gen/holdfast/plugin/v1/response_transformer_pb.js";
import type { Problem } from "../problem.ts";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "response-transformer". */
export const responseTransformerModel = definePluginModel({
  name: "response-transformer",
  version: 1,
  schema: ResponseTransformerConfigSchema,
  perConsumer: true,
  problems: ({ replace, add, append }) =>
    Object.entries({ replace, add, append }).flatMap(([action, pairs]) =>
      typeProblems(action, pairs),
    ),
});

function typeProblems(
  action: string,
  pairs: ResponsePairs | undefined,
): Problem[] {
  if (pairs === undefined) return [];
  if (pairs.jsonTypes.length > pairs.json.length)
    return [
      {
        field: `${action}.json_types`,
        reason: `has ${pairs.jsonTypes.length} types, but ${action}.json has ${pairs.json.length} values`,
      },
    ];
  return pairs.jsonTypes.flatMap((type, i) => {
    const pair = pairs.json[i] ?? "";
    const value = pair.slice(pair.indexOf(":") + 1);
    const fits =
      type === "number"
        ? value.trim() !== "" && Number.isFinite(Number(value))
        : type !== "boolean" || value === "true" || value === "false";
    return fits
      ? []
      : [
          {
            field: `${action}.json[${i}]`,
            reason: `"${value}" is not a ${type}, which its type in json_types says`,
          },
        ];
  });
}
