import {
  toJson,
  type DescMessage,
  type JsonObject,
  type MessageShape,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { fillMessageDefaults } from "./default-values.ts";
import { readJson } from "./json-form.ts";
import { correlationIdModel } from "./plugins/correlation-id.ts";
import { corsModel } from "./plugins/cors.ts";
import { keyAuthModel } from "./plugins/key-auth.ts";
import type { KnownPlugin } from "./plugins/known-plugin.ts";
import { requestTerminationModel } from "./plugins/request-termination.ts";
import { aclModel } from "./plugins/acl.ts";
import { basicAuthModel } from "./plugins/basic-auth.ts";
import { botDetectionModel } from "./plugins/bot-detection.ts";
import { ipRestrictionModel } from "./plugins/ip-restriction.ts";
import { jwtModel } from "./plugins/jwt.ts";
import { rateLimitingModel } from "./plugins/rate-limiting.ts";
import { requestSizeLimitingModel } from "./plugins/request-size-limiting.ts";
import { responseRatelimitingModel } from "./plugins/response-ratelimiting.ts";
import { fileLogModel } from "./plugins/file-log.ts";
import { httpLogModel } from "./plugins/http-log.ts";
import { opentelemetryModel } from "./plugins/opentelemetry.ts";
import { prometheusModel } from "./plugins/prometheus.ts";
import { proxyCacheModel } from "./plugins/proxy-cache.ts";
import { requestTransformerModel } from "./plugins/request-transformer.ts";
import { responseTransformerModel } from "./plugins/response-transformer.ts";
import { join, type Problem } from "./problem.ts";
import { fieldProblems } from "./rules/field-rules.ts";

// One entry a line, by name.
const plugins = new Map<string, KnownPlugin>(
  [
    aclModel,
    basicAuthModel,
    botDetectionModel,
    corsModel,
    correlationIdModel,
    ipRestrictionModel,
    jwtModel,
    keyAuthModel,
    rateLimitingModel,
    requestSizeLimitingModel,
    requestTerminationModel,
    responseRatelimitingModel,
    fileLogModel,
    httpLogModel,
    opentelemetryModel,
    prometheusModel,
    proxyCacheModel,
    requestTransformerModel,
    responseTransformerModel,
  ].map((plugin) => [plugin.name, plugin]),
);

/** The plugin of a name, when its configuration has a message. */
export function knownPlugin(name: string): KnownPlugin | undefined {
  return plugins.get(name);
}

/** A plugin's configuration in its stored form, or everything that is wrong with it. */
export type ReadPluginConfig =
  | { readonly ok: true; readonly config: JsonObject }
  | { readonly ok: false; readonly violations: readonly Problem[] };

/**
 * Reads a plugin's configuration. Of a known plugin it comes back with defaults written out and unknown fields are
 * refused; of another one it comes back as it is.
 */
export function readPluginConfig(
  name: string,
  config: JsonObject,
): ReadPluginConfig {
  const plugin = plugins.get(name);
  if (plugin === undefined) return { ok: true, config };
  const read = readMessage(plugin, config);
  if (!read.ok) return read;
  return {
    ok: true,
    config: toJson(plugin.schema, read.message, {
      alwaysEmitImplicit: true,
      useProtoFieldName: true,
    }) as JsonObject,
  };
}

/** What of an accepted configuration may not do what was meant; nothing for one that is not accepted. */
export function pluginConfigNotes(name: string, config: JsonObject): Problem[] {
  const plugin = plugins.get(name);
  if (plugin?.notes === undefined) return [];
  const read = readMessage(plugin, config);
  return read.ok ? inConfig(plugin.notes(read.message)) : [];
}

/**
 * The typed configuration of a known plugin, defaults filled, for the data plane.
 *
 * @throws TypeError when it cannot be read; a stored one always can.
 */
export function parseKnownConfig<Desc extends DescMessage>(
  schema: Desc,
  config: JsonObject,
): MessageShape<Desc> {
  const read = readJson(schema, config);
  if (!read.ok) {
    const [first] = inConfig(read.problems);
    throw new TypeError(`${first?.field ?? "config"}: ${first?.reason ?? ""}`);
  }
  fillConfigDefaults(schema, read.message, config);
  return read.message;
}

/** What is wrong with a configuration by the rules of its message; field paths begin inside the configuration. */
export function checkPluginConfig(
  schema: DescMessage,
  config: JsonObject,
): readonly Problem[] {
  const read = readJson(schema, config);
  if (!read.ok) return read.problems;
  fillMessageDefaults(schema, read.message);
  return fieldProblems(schema, read.message);
}

function readMessage(
  plugin: KnownPlugin,
  config: JsonObject,
):
  | { readonly ok: true; readonly message: MessageShape<DescMessage> }
  | { readonly ok: false; readonly violations: readonly Problem[] } {
  const read = readJson(plugin.schema, config);
  if (!read.ok) return { ok: false, violations: inConfig(read.problems) };
  const { message } = read;
  plugin.normalise?.(message);
  fillConfigDefaults(plugin.schema, message, config);
  const problems = [
    ...fieldProblems(plugin.schema, message),
    ...(plugin.problems?.(message) ?? []),
  ];
  return problems.length > 0
    ? { ok: false, violations: inConfig(problems) }
    : { ok: true, message };
}

/** Fills defaults. A list that was given empty stays so: it is how people switch off what the default names. */
function fillConfigDefaults<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  config: JsonObject,
): void {
  fillMessageDefaults(schema, message);
  for (const field of schema.fields) {
    const given = config[field.name] ?? config[field.jsonName];
    if (
      field.fieldKind === "list" &&
      Array.isArray(given) &&
      given.length === 0
    )
      reflect(schema, message).clear(field);
  }
}

function inConfig(problems: readonly Problem[]): Problem[] {
  return problems.map(({ field, reason }) => ({
    field: join("config", field),
    reason,
  }));
}
