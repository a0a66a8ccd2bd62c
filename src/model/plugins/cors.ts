import { CorsConfigSchema } from "../../gen/holdfast/plugin/v1/plugins_pb.js";
import { show } from "../problem.ts";
import { compileRegex } from "../regex.ts";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "cors". */
export const corsModel = definePluginModel({
  name: "cors",
  version: 1,
  schema: CorsConfigSchema,
  perConsumer: false,
  problems: ({ origins }) =>
    origins.flatMap((origin, i) => {
      const compiled = isRegexOrigin(origin) ? compileRegex(origin) : undefined;
      return compiled?.ok === false
        ? [{ field: `origins[${i}]`, reason: compiled.reason }]
        : [];
    }),
  notes: ({ origins }) =>
    origins.flatMap((origin, i) =>
      isRegexOrigin(origin) && /\/\*|^\*\./.test(origin)
        ? [
            {
              field: `origins[${i}]`,
              reason: `${show(origin)} is read as a regular expression, in which "*" repeats what stands before it; for any subdomain write ${show(origin.replaceAll(".", "\\.").replace("*", "[^/]+"))}`,
            },
          ]
        : [],
    ),
});

/**
 * Whether an entry of the cors plugin's origins is a regular expression: it has a character that no origin and no host
 * name has. "*" alone means any origin.
 */
export function isRegexOrigin(origin: string): boolean {
  return origin !== "*" && /[^A-Za-z0-9._:/[\]-]/.test(origin);
}
