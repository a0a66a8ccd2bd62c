import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { platform, version } from "node:process";

/** What a figure depends on: the machine without its name, and the versions. */
export function describeMachine(): string {
  const [cpu] = cpus();
  return [
    `${cpus().length} CPUs (${cpu?.model ?? "unknown"})`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    `${platform} ${release()}`,
    `Node ${version}`,
    ...["@grpc/grpc-js", "level", "@bufbuild/protobuf"].map(
      (name) => `${name} ${versionOf(name)}`,
    ),
    `load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(" ")}`,
    new Date().toISOString().slice(0, 10),
  ].join(", ");
}

function versionOf(name: string): string {
  const file = new URL(
    `../../node_modules/${name}/package.json`,
    import.meta.url,
  );
  const manifest = JSON.parse(readFileSync(file, "utf8")) as {
    readonly version: string;
  };
  return manifest.version;
}
