import { systemClock } from "../../runtime/clock.ts";
import { createLogger } from "../../runtime/logger.ts";
import { LIMITS } from "../../sync/limits.ts";
import { adminAccessFlags, adminAccessOf } from "../admin-flags.ts";
import { command } from "../command.ts";
import { flag, list, optional, required } from "../flags.ts";
import { UsageError } from "../io.ts";
import { clusterFlags, linkSecurity, logLevel } from "../process-flags.ts";
import { serve } from "../serve.ts";
import { duration, hostPort, integer, text } from "../value-types.ts";

/** Revisions kept when nothing else is said. */
const KEPT_REVISIONS = 10_000;

/** `holdfast cp` */
export const cp = command({
  name: "cp",
  summary: "Run a control plane",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Owns the configuration and its history, offers the Admin RPCs (gRPC, gRPC-Web and JSON on one port, with server reflection) and streams every change to the data planes.",
    'Prints one line of JSON on standard output when it serves, {"event":"ready","role":"cp","admin":"127.0.0.1:8001",…}, and logs JSON lines on standard error. SIGTERM and SIGINT end it within 10 s; a second one at once.',
    "Without --admin-token-file or --admin-client-ca the Admin RPCs ask nobody who they are, and are served on a loopback address only. With tokens every caller has a role (read, write or admin) in each workspace, or in none. /status/live, /status/ready and grpc.health.v1 are for anybody; the other status pages and /metrics need a role in all workspaces there, and no token on --status-listen.",
  ],
  examples: [
    [
      "holdfast cp --data-dir ./data/cp --insecure-sync",
      "A control plane for data planes on this machine",
    ],
    [
      "holdfast cp --data-dir ./data/cp --insecure-sync --admin-listen 0.0.0.0:8001 --admin-token-file tokens.yml --admin-cert admin.crt --admin-key admin.key",
      "With Admin RPCs for callers anywhere; see holdfast token --help",
    ],
    [
      "holdfast cp --data-dir ./data/cp --sync-listen 0.0.0.0:8005 --cluster-cert cluster/cp.crt --cluster-key cluster/cp.key --cluster-ca cluster/ca.crt",
      "A control plane for data planes anywhere; see holdfast cert --help",
    ],
  ],
  flags: {
    adminListen: flag(hostPort, {
      summary: "Where the Admin RPCs are served, and status and metrics.",
      default: "127.0.0.1:8001",
    }),
    syncListen: flag(hostPort, {
      summary: "Where data planes connect.",
      default: "127.0.0.1:8005",
    }),
    alternativeAddress: list(hostPort, {
      summary:
        "The sync address of another control plane with this configuration: data planes go there too when this one shuts down or has too much to do.",
    }),
    statusListen: optional(hostPort, {
      summary: "Another place for status and metrics.",
    }),
    dataDir: required(text("DIR"), {
      summary: "Where the configuration and its history are kept.",
    }),
    ...adminAccessFlags,
    ...clusterFlags,
    historyRevisions: flag(integer(1, 1_000_000_000), {
      summary:
        "How many revisions of each workspace are kept, at least. What a pin or a pause needs is kept too, until it ends.",
      default: String(KEPT_REVISIONS),
    }),
    historyAge: optional(duration("876000h"), {
      summary:
        "How old a revision that is kept may be, such as 720h. Without it: any age. The newest is always kept, and what a pin or a pause needs.",
    }),
    publishSnapshot: optional(text("DIR"), {
      summary:
        "Keep the newest state in this directory as <workspace>.hfs, for dp --fallback; with secrets in clear, readable by its owner only.",
    }),
    snapshotKey: optional(text("FILE"), {
      summary: "The private key (Ed25519, PEM) that it is signed with.",
    }),
    logLevel,
  },
  async run({ io, version }, flags) {
    const security = linkSecurity("cp", flags, [
      { flag: "--sync-listen", address: flags.syncListen },
      ...flags.alternativeAddress.map((address) => ({
        flag: "--alternative-address",
        address,
      })),
    ]);
    const access = adminAccessOf(flags, flags.adminListen);
    if (flags.alternativeAddress.length > LIMITS.alternatives)
      throw new UsageError([
        `--alternative-address: ${flags.alternativeAddress.length} are given, and a data plane takes ${LIMITS.alternatives} at most`,
      ]);
    const publish = publishOptionsOf(flags.publishSnapshot, flags.snapshotKey);
    const logger = createLogger(flags.logLevel);
    const deps = { clock: systemClock, logger };
    // Not before it is needed: every other command starts in half the time without it.
    const { startControlPlane } = await import("../../cp/control-plane.ts");
    return serve(
      io,
      deps,
      () =>
        startControlPlane(
          {
            adminListen: flags.adminListen,
            syncListen: flags.syncListen,
            alternatives: flags.alternativeAddress,
            ...(flags.statusListen === undefined
              ? {}
              : { statusListen: flags.statusListen }),
            dataDir: flags.dataDir,
            ...security,
            ...access,
            ...(io.onReopen === undefined ? {} : { onReopen: io.onReopen }),
            ...(publish === undefined ? {} : { publish }),
            keepHistory: {
              revisions: flags.historyRevisions,
              ...(flags.historyAge === undefined
                ? {}
                : { ageMs: flags.historyAge }),
            },
            build: version,
          },
          deps,
        ),
      ({ addresses }) => ({ role: "cp", ...addresses }),
    );
  },
});

function publishOptionsOf(
  directory: string | undefined,
  keyFile: string | undefined,
): { readonly directory: string; readonly keyFile: string } | undefined {
  if (directory === undefined && keyFile === undefined) return undefined;
  if (directory === undefined || keyFile === undefined)
    throw new UsageError([
      directory === undefined
        ? "--snapshot-key is for --publish-snapshot, which is not given"
        : "--publish-snapshot needs --snapshot-key: data planes start from signed files only",
    ]);
  return { directory, keyFile };
}
