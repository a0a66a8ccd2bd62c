import {
  toJson,
  type DescMessage,
  type JsonObject,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  CorrelationIdConfigSchema,
  CorsConfigSchema,
  KeyAuthConfigSchema,
  RequestTerminationConfigSchema,
} from "../gen/holdfast/plugin/v1/plugins_pb.js";
import { fillMessageDefaults } from "./default-values.ts";
import { readJson } from "./json-form.ts";
import { join, type Problem } from "./problem.ts";
import { compileRegex } from "./regex.ts";
import { fieldProblems } from "./rules/field-rules.ts";

/** A plugin that Holdfast's own data plane can run. */
export interface KnownPlugin {
  readonly name: string;
  /** Of the feature "plugin/name". */
  readonly version: number;
  /** Its configuration's message. */
  readonly schema: DescMessage;
  /** Whether it may be limited to a consumer: not when it is what finds the consumer, or runs before that. */
  readonly perConsumer: boolean;
}

const plugins = new Map<string, KnownPlugin>(
  [
    {
      name: "key-auth",
      version: 1,
      schema: KeyAuthConfigSchema,
      perConsumer: false,
    },
    { name: "cors", version: 1, schema: CorsConfigSchema, perConsumer: false },
    {
      name: "request-termination",
      version: 1,
      schema: RequestTerminationConfigSchema,
      perConsumer: true,
    },
    {
      name: "correlation-id",
      version: 1,
      schema: CorrelationIdConfigSchema,
      perConsumer: true,
    },
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
  const read = readJson(plugin.schema, config);
  if (!read.ok) return { ok: false, violations: inConfig(read.problems) };
  fillMessageDefaults(plugin.schema, read.message);
  const problems = [
    ...fieldProblems(plugin.schema, read.message),
    ...regexProblems(name, read.message),
  ];
  if (problems.length > 0) return { ok: false, violations: inConfig(problems) };
  return {
    ok: true,
    config: toJson(plugin.schema, read.message, {
      alwaysEmitImplicit: true,
      useProtoFieldName: true,
    }) as JsonObject,
  };
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
  fillMessageDefaults(schema, read.message);
  return read.message;
}

/**
 * Whether an entry of the cors plugin's origins is a regular expression: it has a character that no origin and no host
 * name has. "*" alone means any origin.
 */
export function isRegexOrigin(origin: string): boolean {
  return origin !== "*" && /[^A-Za-z0-9._:/[\]-]/.test(origin);
}

function regexProblems(
  name: string,
  message: MessageShape<DescMessage>,
): Problem[] {
  if (name !== "cors") return [];
  const { origins } = message as MessageShape<typeof CorsConfigSchema>;
  return origins.flatMap((origin, i) => {
    const compiled = isRegexOrigin(origin) ? compileRegex(origin) : undefined;
    return compiled?.ok === false
      ? [{ field: `origins[${i}]`, reason: compiled.reason }]
      : [];
  });
}

function inConfig(problems: readonly Problem[]): Problem[] {
  return problems.map(({ field, reason }) => ({
    field: join("config", field),
    reason,
  }));
}
