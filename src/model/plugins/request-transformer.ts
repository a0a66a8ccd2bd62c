import { RequestTransformerConfigSchema } from "../../gen/holdfast/plugin/v1/request_transformer_pb.js";
import type { Problem } from "../problem.ts";
import { definePluginModel } from "./known-plugin.ts";
import { parseTemplate } from "./templates.ts";

/** The configuration of "request-transformer". */
export const requestTransformerModel = definePluginModel({
  name: "request-transformer",
  version: 1,
  schema: RequestTransformerConfigSchema,
  perConsumer: true,
  problems: ({ rename, replace, add, append, httpMethod }) => [
    ...Object.entries({ rename, replace, add, append }).flatMap(
      ([action, parts]) =>
        (["headers", "querystring", "body"] as const).flatMap((place) =>
          (parts?.[place] ?? []).flatMap((pair, i) =>
            templateProblems(
              `${action}.${place}[${i}]`,
              pair.slice(pair.indexOf(":") + 1),
            ),
          ),
        ),
    ),
    ...templateProblems("replace.uri", replace?.uri ?? ""),
    ...(httpMethod === "" || METHODS.has(httpMethod.toUpperCase())
      ? []
      : [
          {
            field: "http_method",
            reason: `"${httpMethod}" is not one of ${[...METHODS].join(", ")}`,
          },
        ]),
  ],
});

const METHODS: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "PUT",
  "POST",
  "DELETE",
  "OPTIONS",
  "MKCOL",
  "COPY",
  "MOVE",
  "PROPFIND",
  "PROPPATCH",
  "LOCK",
  "UNLOCK",
  "PATCH",
  "TRACE",
]);

function templateProblems(field: string, template: string): Problem[] {
  const parsed = parseTemplate(template);
  return parsed.ok ? [] : [{ field, reason: parsed.reason }];
}
