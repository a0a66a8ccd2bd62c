import { systemClock } from "../../runtime/clock.ts";
import { createLogger } from "../../runtime/logger.ts";
import {
  certificateIn,
  type ClusterTlsFiles,
} from "../../runtime/tls/material.ts";
import { answerFlags, answerSettings, isFile } from "../answer-flags.ts";
import { command } from "../command.ts";
import { dnsFlags, dnsSettings } from "../dns-flags.ts";
import { flag, list, optional, required } from "../flags.ts";
import { UsageError } from "../io.ts";
import { pluginFlags, pluginSettings } from "../plugin-flags.ts";
import { clusterFlags, linkSecurity, logLevel } from "../process-flags.ts";
import { listenFlags, listenOptionsOf } from "../listen-flags.ts";
import { serve } from "../serve.ts";
import { startFlags, startOptionsOf } from "../start-flags.ts";
import { workerFlags, workerOptionsOf } from "../worker-flags.ts";
import {
  connectProxy,
  hostPort,
  keyValue,
  oneOf,
  text,
  textLike,
} from "../value-types.ts";

/** `holdfast dp` */
export const dp = command({
  name: "dp",
  summary: "Run a data plane",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Proxies API traffic with the configuration of a control plane, and keeps the last one it applied in its data directory: it starts and serves with that when no control plane can be reached, and asks for the newest when one is back. Without any configuration it answers 503 and is not ready.",
    'Prints one line of JSON on standard output when it serves, {"event":"ready","role":"dp","proxy":"127.0.0.1:8000",…}, and logs JSON lines on standard error. With --access-log stdout each request is a line on standard output too, {"event":"request",…}. SIGHUP has it open the file of --access-log anew. SIGTERM and SIGINT end it within 10 s; a second one at once.',
  ],
  examples: [
    [
      "holdfast dp --control-plane 127.0.0.1:8005 --data-dir ./data/dp --insecure-sync",
      "A data plane for the control plane on this machine",
    ],
    [
      "holdfast dp --control-plane 127.0.0.1:8005 --data-dir ./data/dp2 --insecure-sync --proxy-listen 127.0.0.1:9000 --status-listen 127.0.0.1:9007",
      "A second one beside it",
    ],
    [
      "holdfast dp --control-plane cp.example.com:8005 --data-dir ./data/dp --cluster-cert cluster/edge-7.crt --cluster-key cluster/edge-7.key --cluster-ca cluster/ca.crt",
      "On another machine; see holdfast cert --help",
    ],
  ],
  flags: {
    controlPlane: list(hostPort, {
      summary:
        "The sync address of a control plane. Several are tried in random order; one that is lost is followed by another at once.",
      required: true,
    }),
    clusterProxy: optional(connectProxy, {
      summary:
        "The HTTP proxy to go through to the control planes, by CONNECT. Proxies named in the environment are not used for that.",
    }),
    proxyListen: flag(hostPort, {
      summary: "Where API traffic arrives.",
      default: "0.0.0.0:8000",
    }),
    ...listenFlags,
    statusListen: flag(hostPort, {
      summary: "Where status and metrics are served.",
      default: "127.0.0.1:8007",
    }),
    dataDir: required(text("DIR"), {
      summary:
        "Where the node's id and its copy of the configuration are kept.",
    }),
    nodeId: optional(
      textLike(
        "ID",
        /^[0-9A-Za-z._-]{1,128}$/,
        "an id: 1 to 128 letters, digits, dots, underscores and hyphens",
      ),
      {
        summary:
          "The node's id, constant over restarts. Without it: the one in its certificate when --cluster-ca is given, else one that is made and kept in the data directory.",
      },
    ),
    label: list(keyValue, { summary: "Shown with the node." }),
    workspace: flag(text("NAME"), {
      summary: "Whose configuration it serves.",
      default: "default",
    }),
    onUnsupported: flag(oneOf(["refuse", "fail-route"]), {
      summary:
        "What to do with a configuration that needs a feature this data plane lacks: keep serving the one before, or apply it and answer 503 on just the routes concerned.",
      default: "refuse",
    }),
    ...answerFlags,
    ...workerFlags,
    ...dnsFlags,
    ...pluginFlags,
    ...startFlags,
    ...clusterFlags,
    logLevel,
  },
  async run({ io, version }, flags) {
    const security = linkSecurity("dp", flags, [
      ...flags.controlPlane.map((address) => ({
        flag: "--control-plane",
        address,
      })),
      ...(flags.clusterProxy === undefined
        ? []
        : [{ flag: "--cluster-proxy", address: flags.clusterProxy }]),
    ]);
    const labels = labelsOf(flags.label);
    const answers = answerSettings(flags);
    const plugins = pluginSettings(flags);
    const startOptions = startOptionsOf(flags);
    if ("tls" in security) await checkIdentity(flags, security.tls);
    const logger = createLogger(flags.logLevel);
    const deps = { clock: systemClock, logger };
    // Not before it is needed: every other command starts in half the time without it.
    const { startDataPlane } = await import("../../dp/data-plane.ts");
    return serve(
      io,
      deps,
      async () => {
        const plane = await startDataPlane(
          {
            controlPlanes: flags.controlPlane,
            ...(flags.clusterProxy === undefined
              ? {}
              : { clusterProxy: flags.clusterProxy }),
            proxyListen: flags.proxyListen,
            ...listenOptionsOf(flags),
            statusListen: flags.statusListen,
            dataDir: flags.dataDir,
            ...(flags.nodeId === undefined ? {} : { nodeId: flags.nodeId }),
            labels,
            workspace: flags.workspace,
            gateway: {
              onUnsupported: flags.onUnsupported,
              ...answers,
              ...dnsSettings(flags),
              ...plugins,
            },
            ...workerOptionsOf(flags),
            ...startOptions,
            ...security,
            build: version,
          },
          deps,
        );
        if (isFile(flags.accessLog))
          io.onReopen?.(() => {
            plane.reopenLogs();
          });
        return plane;
      },
      ({ addresses }) => ({ role: "dp", ...addresses }),
    );
  },
});

/** A wrong node id or workspace is a wrong command line. What else there is to say about the certificate is said at the start. */
async function checkIdentity(
  {
    nodeId,
    workspace,
  }: { readonly nodeId?: string | undefined; readonly workspace: string },
  files: ClusterTlsFiles,
): Promise<void> {
  const certificate = await certificateIn(files).catch(() => undefined);
  if (certificate === undefined) return;
  const { nodeId: certified, workspaces } = certificate;
  if (nodeId !== undefined && certified !== undefined && certified !== nodeId)
    throw new UsageError([
      `--node-id ${nodeId}: the certificate in --cluster-cert ${files.certFile} is of node "${certified}", and the control plane takes it for no other: leave --node-id away, or give this node a certificate of its own`,
    ]);
  if (workspaces.length > 0 && !workspaces.includes(workspace))
    throw new UsageError([
      `--workspace ${workspace}: the certificate in --cluster-cert ${files.certFile} is for workspace ${workspaces.map((name) => `"${name}"`).join(", ")}, and the control plane gives its holder no other: change --workspace, or make another certificate (holdfast cert issue --dp NAME --workspace ${workspace})`,
    ]);
}

/** Within what the sync stream takes, so that a wrong label is told here and not by a stream that ends. */
function labelsOf(
  pairs: readonly (readonly [string, string])[],
): Record<string, string> {
  const tooLong = pairs.filter(
    ([key, value]) => key.length > 63 || value.length > 255,
  );
  const problems = [
    ...(pairs.length > 64
      ? [`--label: ${pairs.length} labels, at most 64`]
      : []),
    ...tooLong.map(
      ([key]) =>
        `--label: "${key}": a key has at most 63 characters, a value at most 255`,
    ),
  ];
  if (problems.length > 0) throw new UsageError(problems);
  return Object.fromEntries(pairs);
}
