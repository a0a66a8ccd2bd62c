import { readFileSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { PluginModuleError } from "./plugin-module-error.ts";

/**
 * The URL of a plugin's module: of an npm package that is installed for a directory, or of a file when the name is a path.
 *
 * @throws PluginModuleError when there is none.
 */
export function findPluginModule(name: string, directory: string): string {
  if (isPath(name)) {
    const path = resolve(directory, name);
    if (isFile(path)) return pathToFileURL(path).href;
    if (isFile(join(path, "package.json"))) return entryOf(name, path);
    throw new PluginModuleError(
      name,
      `there is neither a file nor a package at ${path}`,
    );
  }
  if (!/^(@[\w.~-]+\/)?[\w.~-]+$/.test(name))
    throw new PluginModuleError(
      name,
      'it is neither the name of an npm package nor a path that begins with "./", "../" or "/"',
    );
  for (let at = resolve(directory); ; at = dirname(at)) {
    const folder = join(at, "node_modules", name);
    if (isFile(join(folder, "package.json"))) return entryOf(name, folder);
    if (dirname(at) === at) break;
  }
  throw new PluginModuleError(
    name,
    `no such package is installed in ${resolve(directory)} or above it: "npm install ${name}" there`,
  );
}

function isPath(name: string): boolean {
  return /^\.\.?(\/|$)/.test(name) || isAbsolute(name);
}

/** The file that is imported when a package is: what its exports, its main or nothing says. */
function entryOf(name: string, folder: string): string {
  let described: unknown;
  try {
    described = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  } catch (error) {
    throw new PluginModuleError(
      name,
      `${join(folder, "package.json")} cannot be read`,
      error,
    );
  }
  const { exports, main } = isObject(described) ? described : {};
  const entry =
    exports === undefined
      ? typeof main === "string"
        ? main
        : "index.js"
      : exported(exports);
  const path = entry === undefined ? undefined : resolve(folder, entry);
  if (path === undefined || !isFile(path))
    throw new PluginModuleError(
      name,
      `${join(folder, "package.json")} names ${path ?? "no module"} as what is imported, and that is no file`,
    );
  return pathToFileURL(path).href;
}

const CONDITIONS = ["node", "import", "default"];

function exported(exports: unknown): string | undefined {
  if (typeof exports === "string") return exports;
  if (Array.isArray(exports)) {
    for (const one of exports) {
      const entry = exported(one);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }
  if (!isObject(exports)) return undefined;
  if ("." in exports) return exported(exports["."]);
  // The first condition that fits counts, in the order of the package.
  for (const [condition, entry] of Object.entries(exports))
    if (CONDITIONS.includes(condition)) return exported(entry);
  return undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true;
}
