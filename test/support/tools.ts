import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** The path of a program; undefined when the machine does not have it. */
export function findProgram(name: string): string | undefined {
  for (const directory of (process.env["PATH"] ?? "").split(path.delimiter)) {
    const file = path.join(directory, name);
    if (directory !== "" && existsSync(file)) return file;
  }
  return undefined;
}

/** Where the CI script keeps the tools that it installs. */
function cached(tool: string): string | undefined {
  const cache = process.env["XDG_CACHE_HOME"] ?? path.join(homedir(), ".cache");
  const tools = path.join(cache, "holdfast", "tools");
  if (!existsSync(tools)) return undefined;
  const [file] = execFileSync("ls", [tools], { encoding: "utf8" })
    .split("\n")
    .filter((entry) => entry.startsWith(`${tool}-`))
    .map((entry) => path.join(tools, entry, tool))
    .filter((candidate) => existsSync(candidate));
  return file;
}

/** grpcurl. Where it is required (in CI) a test must fail, not be skipped, without it. */
export function grpcurlPath(): string | undefined {
  const found = findProgram("grpcurl") ?? cached("grpcurl");
  if (found === undefined && process.env["HOLDFAST_REQUIRE_GRPCURL"] === "1")
    throw new Error(
      "HOLDFAST_REQUIRE_GRPCURL is 1 and there is no grpcurl on the PATH",
    );
  return found;
}
