import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort, Program } from "../peers/program.ts";
import type { TempDir } from "../support/temp-dir.ts";

/** Another proxy, to one upstream, with one thread and connections that are kept. */
export interface Peer extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

interface Kind {
  readonly name: string;
  readonly file: string;
  readonly config: (
    port: number,
    upstreamPort: number,
    directory: TempDir,
  ) => string;
  readonly command: (file: string) => readonly [string, ...string[]];
  readonly env?: NodeJS.ProcessEnv;
}

/** Connections to the upstream that are kept, at least as many as there are clients. */
const KEPT = 128;
const START_MS = 10_000;

const KINDS: readonly Kind[] = [
  {
    name: "nginx",
    file: "nginx.conf",
    // It deletes the file with its process id when it ends: that must be one of its own.
    config: (port, upstreamPort, directory) => `
daemon off; master_process off; worker_processes 1; pid ${directory.join(`nginx-${port}.pid`)}; error_log stderr crit;
events { worker_connections 4096; }
http {
  client_body_temp_path ${directory.path}; proxy_temp_path ${directory.path}; fastcgi_temp_path ${directory.path};
  uwsgi_temp_path ${directory.path}; scgi_temp_path ${directory.path};
  access_log off; keepalive_timeout 75s; keepalive_requests 100000000;
  upstream bench { server 127.0.0.1:${upstreamPort}; keepalive ${KEPT}; keepalive_requests 100000000; }
  server {
    listen 127.0.0.1:${port} backlog=1024;
    location / { proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffers 16 32k; }
  }
}
`,
    command: (file) => ["nginx", "-c", file],
  },
  {
    name: "haproxy",
    file: "haproxy.cfg",
    config: (port, upstreamPort) => `
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 60s
  timeout client 75s
  timeout server 60s
  http-reuse always
frontend bench
  bind 127.0.0.1:${port} backlog 1024
  default_backend bench
backend bench
  server one 127.0.0.1:${upstreamPort} pool-max-conn ${KEPT}
`,
    command: (file) => ["haproxy", "-db", "-q", "-f", file],
  },
  {
    name: "caddy",
    file: "Caddyfile",
    config: (port, upstreamPort) => `
{
  admin off
  auto_https off
}
http://:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host ${KEPT}
    }
  }
}
`,
    command: (file) => [
      "caddy",
      "run",
      "--adapter",
      "caddyfile",
      "--config",
      file,
    ],
    env: { GOMAXPROCS: "1" },
  },
  {
    name: "envoy",
    file: "envoy.yaml",
    config: (port, upstreamPort) => `
static_resources:
  listeners:
    - address: { socket_address: { address: 127.0.0.1, port_value: ${port} } }
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: bench
                route_config:
                  virtual_hosts:
                    - { name: all, domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: bench } }] }
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
  clusters:
    - name: bench
      connect_timeout: 5s
      type: STATIC
      circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 4096 }] }
      load_assignment:
        cluster_name: bench
        endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: ${upstreamPort} } } } }] }]
`,
    command: (file) => [
      "envoy",
      "--concurrency",
      "1",
      "--log-level",
      "off",
      "--disable-hot-restart",
      "-c",
      file,
    ],
  },
];

/** The names of all peers. */
export const PEERS: readonly string[] = KINDS.map(({ name }) => name);

/** Starts a peer. Undefined: it is not installed. */
export async function startPeer(
  name: string,
  directory: TempDir,
  upstreamPort: number,
): Promise<Peer | undefined> {
  const kind = KINDS.find((one) => one.name === name);
  if (kind === undefined) throw new TypeError(`there is no peer "${name}"`);
  const port = await freePort();
  const file = directory.join(`${upstreamPort}-${kind.file}`);
  await writeFile(file, kind.config(port, upstreamPort, directory));
  const [command, ...args] = kind.command(file);
  const program = await Program.start(command, args, {
    env: {
      HOME: directory.path,
      XDG_CONFIG_HOME: directory.path,
      XDG_DATA_HOME: directory.path,
      ...kind.env,
    },
  });
  if (program === undefined) return undefined;
  program.output.resume();
  const untilMs = performance.now() + START_MS;
  while (!(await accepts(port))) {
    if (performance.now() > untilMs) {
      await program[Symbol.asyncDispose]();
      throw new Error(`${name} does not listen`);
    }
    await sleep(50);
  }
  return {
    pid: program.pid,
    port,
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
