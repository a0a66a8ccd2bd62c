import {
  KeyAuthConfigSchema,
  type KeyAuthConfig,
} from "../../../gen/holdfast/plugin/v1/plugins_pb.js";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginHandlers,
} from "../plugin.ts";
import { MAX_BODY_BYTES, readBodyKeys, withoutArgument } from "./body-keys.ts";

/** "key-auth": a request needs the API key of a consumer. */
export const keyAuth = definePlugin({
  name: "key-auth",
  version: 1,
  priority: 1250,
  schema: KeyAuthConfigSchema,
  create: (config): PluginHandlers => ({
    access: async (exchange) => {
      const { method } = exchange.request;
      if (method === "OPTIONS" && config.runOnPreflight === false)
        return undefined;
      // With an anonymous consumer several authenticating plugins are alternatives, and one has succeeded.
      if (config.anonymous !== "" && exchange.credentialId !== undefined)
        return undefined;
      const refusal = await authenticate(config, exchange);
      if (refusal === undefined) return undefined;
      return config.anonymous === ""
        ? unauthorized(config, exchange, refusal)
        : useAnonymous(config.anonymous, exchange);
    },
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

function useAnonymous(name: string, exchange: Exchange): Answer | undefined {
  const { consumers, id } = exchange;
  const consumer = consumers.byId(name) ?? consumers.byUsername(name);
  if (consumer === undefined)
    return {
      status: 500,
      body: {
        message: `anonymous consumer ${name} is configured but doesn't exist`,
        request_id: id,
      },
    };
  exchange.authenticate(consumer, undefined);
  return undefined;
}

function unauthorized(
  { realm }: KeyAuthConfig,
  { id }: Exchange,
  message: string,
): Answer {
  return {
    status: 401,
    headers: {
      "WWW-Authenticate":
        realm === "" ? "Key" : `Key realm="${realm.replace(/["\\]/g, "\\$&")}"`,
    },
    body: { message, request_id: id },
  };
}
