import type { DescMessage, JsonObject } from "@bufbuild/protobuf";
import { checkPluginConfig, parseKnownConfig } from "../../../model/plugins.ts";
import type { ConfigProblem, Plugin, PluginEnvironment } from "../plugin.ts";
import { PLUGINS } from "../registry.ts";
import { PluginModuleError } from "./plugin-module-error.ts";

/** A module with a plugin, as an operator asked for it. */
export interface PluginModule {
  /** As it was asked for. */
  readonly name: string;
  /** What is imported. */
  readonly url: string;
}

/**
 * Imports plugins that are not Holdfast's own and looks whether they are what they should be.
 *
 * @throws PluginModuleError for the first that is not.
 */
export async function loadPlugins(
  modules: readonly PluginModule[],
): Promise<readonly Plugin[]> {
  const names = new Map(
    [...PLUGINS.keys()].map((name) => [name, "Holdfast itself"]),
  );
  const plugins: Plugin[] = [];
  for (const module of modules) {
    const plugin = await loadPlugin(module);
    const other = names.get(plugin.name);
    if (other !== undefined)
      throw new PluginModuleError(
        module.name,
        `its plugin "${plugin.name}" is there already: ${other} has it`,
      );
    names.set(plugin.name, module.name);
    plugins.push(plugin);
  }
  return plugins;
}

async function loadPlugin({ name, url }: PluginModule): Promise<Plugin> {
  let module: unknown;
  try {
    module = await import(url);
  } catch (error) {
    throw new PluginModuleError(name, `${url} cannot be imported`, error);
  }
  const exports = isObject(module) ? module : {};
  const found = exports["plugin"] ?? exports["default"];
  if (!isObject(found))
    throw new PluginModuleError(
      name,
      `${url} exports no plugin: an object named "plugin", or as its default, is needed`,
    );
  const problems = shapeProblems(found);
  if (problems.length > 0)
    throw new PluginModuleError(
      name,
      `what ${url} exports is no plugin: ${problems.join("; ")}`,
    );
  return pluginOf(found as unknown as GivenPlugin);
}

/** A plugin as a package has it; see docs/plugins.md. */
interface GivenPlugin {
  readonly name: string;
  readonly version: number;
  readonly priority: number;
  readonly schema?: DescMessage;
  readonly validate?: (config: unknown) => unknown;
  readonly create: (config: unknown, environment: PluginEnvironment) => unknown;
}

function shapeProblems(given: Readonly<Record<string, unknown>>): string[] {
  const { name, version, priority, schema, validate, create } = given;
  const needs = (ok: boolean, what: string): string[] => (ok ? [] : [what]);
  return [
    ...needs(
      typeof name === "string" && /^[a-z][a-z0-9-]{0,62}$/.test(name),
      '"name" must be small letters, digits and hyphens',
    ),
    ...needs(
      Number.isSafeInteger(version) && Number(version) >= 1,
      '"version" must be a whole number from 1',
    ),
    ...needs(
      typeof priority === "number" && Number.isFinite(priority),
      '"priority" must be a number',
    ),
    ...needs(typeof create === "function", '"create" must be a function'),
    ...needs(
      (schema === undefined) !== (validate === undefined),
      'it must have either "schema" or "validate"',
    ),
    ...needs(
      schema === undefined ||
        (isObject(schema) && schema["kind"] === "message"),
      '"schema" must be the descriptor of a protobuf message',
    ),
    ...needs(
      validate === undefined || typeof validate === "function",
      '"validate" must be a function',
    ),
  ];
}

function pluginOf(given: GivenPlugin): Plugin {
  const { name, version, priority, schema, validate, create } = given;
  return {
    name,
    version,
    priority,
    problems: (config) =>
      schema === undefined
        ? told(name, validate?.call(given, structuredClone(config)))
        : checkPluginConfig(schema, config),
    create: (config: JsonObject, environment) => {
      const handlers = create.call(
        given,
        schema === undefined
          ? structuredClone(config)
          : parseKnownConfig(schema, config),
        environment,
      );
      if (!isObject(handlers))
        throw new TypeError(
          `create() of the plugin "${name}" must return an object with functions for phases`,
        );
      return handlers;
    },
  };
}

/** What validate() said, whatever it is. */
function told(name: string, answer: unknown): ConfigProblem[] {
  if (answer === undefined || answer === null) return [];
  if (!Array.isArray(answer))
    throw new TypeError(
      `validate() of the plugin "${name}" must return a list of problems, or nothing`,
    );
  return answer.map((problem: unknown) => {
    if (!isObject(problem)) return { field: "", reason: String(problem) };
    const { field = "", reason = "is wrong" } = problem;
    return { field: String(field), reason: String(reason) };
  });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
