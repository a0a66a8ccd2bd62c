import {
  KeyAuthConfigSchema,
  type KeyAuthConfig,
} from "../../../gen/holdfast/plugin/v1/plugins_pb.js";
import {
  challengeOf,
  requireConsumer,
  unauthorized,
} from "../authentication.ts";
import { definePlugin, type Exchange, type PluginHandlers } from "../plugin.ts";
import { MAX_BODY_BYTES, readBodyKeys, withoutArgument } from "./body-keys.ts";

/** "key-auth": a request needs the API key of a consumer. */
export const keyAuth = definePlugin({
  name: "key-auth",
  version: 1,
  priority: 1250,
  schema: KeyAuthConfigSchema,
  create: (config): PluginHandlers => ({
    access: (exchange) =>
      requireConsumer(config, exchange, async () => {
        const refusal = await authenticate(config, exchange);
        return refusal === undefined
          ? undefined
          : unauthorized(refusal, challengeOf("Key", { realm: config.realm }));
      }),
  }),
});

/** Finds the key and its consumer; else says why not. */
async function authenticate(
  config: KeyAuthConfig,
  exchange: Exchange,
): Promise<string | undefined> {
  const keys = await findKeys(config, exchange);
  if (keys.length > 1) return "Duplicate API key found";
  const [key = ""] = keys;
  if (key === "") return "No API key found in request";
  const owner = exchange.consumers.byKey(key);
  if (owner === undefined) return "Unauthorized";
  exchange.authenticate(owner.consumer, owner.credentialId);
  return undefined;
}

/** The values at the first place that has one: by name, then header, query, body. Hides them when asked to. */
async function findKeys(
  config: KeyAuthConfig,
  exchange: Exchange,
): Promise<readonly string[]> {
  for (const name of config.keyNames) {
    const keys =
      inHeader(config, exchange, name) ??
      inQuery(config, exchange, name) ??
      (await inBody(config, exchange, name));
    if (keys === undefined) continue;
    if (config.hideCredentials) hide(exchange, name);
    return keys;
  }
  return [];
}

function inHeader(
  config: KeyAuthConfig,
  { request }: Exchange,
  name: string,
): readonly string[] | undefined {
  if (config.keyInHeader === false) return undefined;
  const keys = request.header(name.toLowerCase());
  return keys.length === 0 ? undefined : keys;
}

function inQuery(
  config: KeyAuthConfig,
  { request }: Exchange,
  name: string,
): readonly string[] | undefined {
  if (config.keyInQuery === false || request.rawQuery === undefined)
    return undefined;
  const keys = new URLSearchParams(request.rawQuery).getAll(name);
  return keys.length === 0 ? undefined : keys;
}

async function inBody(
  config: KeyAuthConfig,
  { request, upstream }: Exchange,
  name: string,
): Promise<readonly string[] | undefined> {
  const [contentType] = request.header("content-type");
  if (!config.keyInBody || contentType === undefined) return undefined;
  const body = await request.body(MAX_BODY_BYTES);
  const fields =
    body === undefined ? undefined : readBodyKeys(contentType, body);
  const keys = fields?.values(name) ?? [];
  if (fields === undefined || keys.length === 0) return undefined;
  if (config.hideCredentials) upstream.replaceBody(fields.without(name));
  return keys;
}

/** Wherever the key was found: it may be in the header and in the query. */
function hide({ upstream }: Exchange, name: string): void {
  upstream.headers.delete(name);
  if (upstream.rawQuery === undefined) return;
  const rest = withoutArgument(upstream.rawQuery, name);
  upstream.rawQuery =
    rest === "" && upstream.rawQuery !== "" ? undefined : rest;
}
