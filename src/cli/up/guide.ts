import type { Applied } from "./apply-and-serve.ts";
import type { Part } from "./parts.ts";

/** What `holdfast up` runs. */
export interface Setup {
  readonly cp: Part & { readonly admin: string };
  readonly dp: Part & { readonly proxy: string; readonly status: string };
  /** Absent when the configuration is somebody's own. */
  readonly echo: Part | undefined;
  readonly dataDir: string;
  readonly applied: Applied;
  /** Writes a command of this program for a shell. */
  readonly commandLine: (...argv: string[]) => string;
}

/** What runs where, and what to try next. */
export function guide(setup: Setup): string {
  const { cp, dp, echo, applied, dataDir } = setup;
  const admin = reachable(cp.admin);
  const proxy = reachable(dp.proxy);
  const status = reachable(dp.status);
  const cli = (...argv: string[]) =>
    setup.commandLine(
      ...argv,
      ...(admin === "127.0.0.1:8001" ? [] : ["--admin", `http://${admin}`]),
    );
  const reason = applied.reason === "" ? "" : `: ${applied.reason}`;
  const served = applied.served
    ? `is served${reason}`
    : `is committed, but the data plane does not serve it yet${reason}`;
  return `
Holdfast is up: revision ${applied.revision} ${served}.

  control plane  pid ${cp.child.pid}  admin http://${admin}
  data plane     pid ${dp.child.pid}  proxy http://${proxy}  status http://${status}/status
${echo === undefined ? "" : `  echo upstream  pid ${echo.child.pid}\n`}  data           ${dataDir}

Call an API through the data plane:
${echo === undefined ? `  curl -i http://${proxy}/` : quickstartCalls(proxy)}

Change the configuration, as JSON with curl or with grpcurl:
${changes(admin, echo === undefined)}

See what is configured and which node serves it:
  ${cli("get", "routes")}
  ${cli("nodes")}

Kill a part, and start it alone again (in another terminal):
${restart(cp)}
${restart(dp)}
Ctrl-C ends all. The data stays; remove ${dataDir} to begin anew.
`;
}

function restart({ child, restart: line }: Part): string {
  return `  # the ${child.title}
  kill -9 ${child.pid}
  ${line}
`;
}

function quickstartCalls(proxy: string): string {
  return `  curl -i http://${proxy}/echo/hello
  curl -i http://${proxy}/private                            # 401: this route needs a key
  curl -i http://${proxy}/private -H 'apikey: alice-key'`;
}

/** Commands that make a route and change it; with somebody's own configuration, a service for it first. */
function changes(admin: string, own: boolean): string {
  const service = { name: "hello", url: "http://127.0.0.1:9000" };
  const route = {
    name: "hello",
    paths: ["/hello"],
    service: { name: own ? service.name : "echo" },
  };
  const moved = { ...route, paths: ["/hello", "/hi"] };
  const json = (resource: object) => JSON.stringify({ resource });
  const curl = (resource: object) =>
    `  curl http://${admin}/holdfast.admin.v1.ConfigService/Put -H 'content-type: application/json' -d '${json(resource)}'`;
  return [
    ...(own ? [curl({ service })] : []),
    curl({ route }),
    `  grpcurl -plaintext ${admin} list`,
    `  grpcurl -plaintext -d '${json({ route: moved })}' ${admin} holdfast.admin.v1.ConfigService/Put`,
  ].join("\n");
}

/** An address to call, for one that means all addresses of the machine. */
function reachable(address: string): string {
  return address.replace(/^(?:0\.0\.0\.0|\[::\]):/, "127.0.0.1:");
}
