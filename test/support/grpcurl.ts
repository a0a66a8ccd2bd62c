import { accessSync, constants, readdirSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** Where grpcurl is: on the PATH, or in the folder that CI installs it into. Undefined when it is nowhere. */
export function findGrpcurl(): string | undefined {
  const cache = process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache");
  const tools = path.join(cache, "holdfast", "tools");
  const found = [
    ...(process.env["PATH"] ?? "").split(path.delimiter),
    tools,
    ...foldersIn(tools),
  ]
    .filter((folder) => folder !== "")
    .map((folder) => path.join(folder, "grpcurl"))
    .find(isExecutable);
  if (found === undefined && process.env["HOLDFAST_REQUIRE_GRPCURL"] === "1")
    throw new Error(
      `grpcurl is neither on the PATH nor in ${tools}, and HOLDFAST_REQUIRE_GRPCURL is 1`,
    );
  return found;
}

function foldersIn(folder: string): string[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .flatMap(({ name }) => [
        path.join(folder, name),
        path.join(folder, name, "bin"),
      ]);
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
