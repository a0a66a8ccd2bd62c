import {
  ResponseTransformerConfigSchema,
  type ResponseTransformerConfig,
} from "../../../gen/holdfast/plugin/v1/response_transformer_pb.js";
import { definePlugin, type MutableHeaders } from "../plugin.ts";
import { jsonSteps, transformJson } from "./json.ts";

/** The largest JSON that is transformed. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;

/** "response-transformer": changes answers before they go to the client. */
export const responseTransformer = definePlugin({
  name: "response-transformer",
  version: 1,
  priority: 800,
  schema: ResponseTransformerConfigSchema,
  create: (config, { logger }) => {
    const steps = jsonSteps(config);
    return {
      ...(steps.length > 0 && {
        response: (_exchange, { headers }) => {
          const [type = ""] = headers.get("Content-Type");
          if (!type.toLowerCase().includes("application/json"))
            return undefined;
          return {
            limitBytes: MAX_BODY_BYTES,
            // Something may have to be taken out of it.
            tooLarge: "refuse",
            whole: async (response) => {
              const changed = await transformJson(response, steps);
              if (changed === "unreadable")
                logger.warn("plugin.body-unreadable", {
                  plugin: "response-transformer",
                });
            },
          };
        },
      }),
      headerFilter: (_exchange, { headers }) => {
        transformHeaders(headers, config);
      },
    };
  },
});

/** Not for plugins to say: what says where a message ends, and what belongs to a connection. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "keep-alive",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function transformHeaders(
  headers: MutableHeaders,
  { remove, rename, replace, add, append }: ResponseTransformerConfig,
): void {
  const has = (name: string): boolean => headers.get(name).length > 0;
  for (const [name, value] of pairs(remove?.headers))
    if (value === undefined) headers.delete(name);
    else removeValue(headers, name, value);
  for (const [name, next = ""] of pairs(rename?.headers)) {
    const values = headers.get(name);
    if (values.length === 0 || !isFree(next)) continue;
    headers.delete(name);
    headers.set(next, ...values);
  }
  for (const [name, value = ""] of pairs(replace?.headers))
    if (has(name)) headers.set(name, value);
  for (const [name, value = ""] of pairs(add?.headers))
    if (!has(name)) headers.set(name, value);
  for (const [name, value = ""] of pairs(append?.headers))
    headers.append(name, value);
}

/** Names with what follows the colon, without those that cannot be changed. */
function pairs(
  entries: readonly string[] = [],
): (readonly [name: string, value: string | undefined])[] {
  return entries
    .map((entry) => {
      const colon = entry.indexOf(":");
      return colon < 0
        ? ([entry.trim(), undefined] as const)
        : ([entry.slice(0, colon), entry.slice(colon + 1).trim()] as const);
    })
    .filter(([name]) => isFree(name));
}

function isFree(name: string): boolean {
  return (
    /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name) &&
    !FRAMING.has(name.toLowerCase())
  );
}

function removeValue(
  headers: MutableHeaders,
  name: string,
  value: string,
): void {
  const values = headers.get(name);
  const kept = values.filter((one) => one.trim() !== value);
  if (kept.length === values.length) return;
  if (kept.length === 0) headers.delete(name);
  else headers.set(name, ...kept);
}
