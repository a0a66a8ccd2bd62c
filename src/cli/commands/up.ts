import {
  formatHostPort,
  isLoopback,
  type HostPort,
} from "../../runtime/host-port.ts";
import { LOG_LEVELS } from "../../runtime/logger.ts";
import { command } from "../command.ts";
import { fileFlags, readFiles } from "../declarative-files.ts";
import { flag, list } from "../flags.ts";
import { EXIT, UsageError } from "../io.ts";
import { stopped } from "../serve.ts";
import { applyAndServe } from "../up/apply-and-serve.ts";
import { commandLine } from "../up/command-line.ts";
import { guide } from "../up/guide.ts";
import { Parts, type UpOptions } from "../up/parts.ts";
import { checkPorts, type WantedPort } from "../up/ports.ts";
import { ECHO_LISTEN, quickstartFile } from "../up/quickstart.ts";
import {
  hostPort,
  loopbackHostPort,
  oneOf,
  text,
  type ValueType,
} from "../value-types.ts";

/** Nobody is asked who they are: only an address that no other machine can reach. */
const adminLoopback: ValueType<HostPort> = {
  placeholder: hostPort.placeholder,
  read(given) {
    const parsed = hostPort.read(given);
    if (!parsed.ok || isLoopback(parsed.value.host)) return parsed;
    return {
      ok: false,
      reason: `${formatHostPort(parsed.value)} can be reached from other machines, and holdfast up asks nobody who they are: only a loopback address is allowed, such as 127.0.0.1:${parsed.value.port}`,
    };
  },
};

/** `holdfast up` */
export const up = command({
  name: "up",
  summary: "Run a control plane and a data plane on this machine, to try it",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Starts a control plane, a data plane and, without -f, an upstream that echoes, each in a process of its own; brings in the configuration without deleting anything; waits until it is served; and prints what to try next, with the commands to kill a part and to start it alone again.",
    "A part that dies is reported and ends nothing else. Ctrl-C ends all. A port that is taken ends the command with 1: the listen flags move them.",
    "The parts talk without TLS, on loopback only (--insecure-sync). The data plane answers 503 on routes whose plugin it does not have, instead of refusing the configuration (--on-unsupported fail-route).",
  ],
  examples: [
    ["holdfast up", "The quick start"],
    ["holdfast up -f kong.yml", "Serve a configuration of your own"],
    [
      "holdfast up --proxy-listen 127.0.0.1:9000 --data-dir ./try",
      "With other ports and another place for the data",
    ],
  ],
  flags: {
    file: list(text("FILE|DIR"), {
      summary:
        'A declarative file in Kong\'s format to serve, or a folder of them; "-" is standard input. Without any: the quick start, with an upstream that echoes.',
      short: "f",
    }),
    expandVars: fileFlags.expandVars,
    dataDir: flag(text("DIR"), {
      summary: "Where both keep their data, in cp and dp. Kept between runs.",
      default: "./holdfast-data",
    }),
    proxyListen: flag(hostPort, {
      summary: "Where API traffic arrives.",
      default: "0.0.0.0:8000",
    }),
    adminListen: flag(adminLoopback, {
      summary: "Where the Admin RPCs are served.",
      default: "127.0.0.1:8001",
    }),
    syncListen: flag(loopbackHostPort, {
      summary: "Where the data plane connects to the control plane.",
      default: "127.0.0.1:8005",
    }),
    statusListen: flag(hostPort, {
      summary: "Where the data plane's status and metrics are served.",
      default: "127.0.0.1:8007",
    }),
    echoListen: list(hostPort, {
      summary: "Where the two upstreams of the quick start listen.",
      default: ECHO_LISTEN,
    }),
    logLevel: flag(oneOf(LOG_LEVELS), {
      summary: "The least important log lines of the parts that are shown.",
      default: "warn",
    }),
  },
  async run(context, options) {
    const { io, env } = context;
    const own = options.file.length > 0;
    if (!own && options.echoListen.length !== ECHO_LISTEN.length)
      throw new UsageError([
        `--echo-listen: the quick start has ${ECHO_LISTEN.length} upstreams, so give it ${ECHO_LISTEN.length} times or not at all`,
      ]);
    const { files } = await readFiles(context, options);
    await checkPorts(wantedPorts(options, own));

    await using parts = new Parts(context, options);
    const echo = own ? undefined : await parts.startEcho();
    if (echo !== undefined) files.push(await quickstartFile(echo.addresses));
    const cp = await parts.startControlPlane();
    const dp = await parts.startDataPlane(cp.sync);
    const applied = await applyAndServe(io, cp.admin, files);
    const setup = { cp, dp, echo, applied, dataDir: options.dataDir };
    io.stdout.write(
      guide({
        ...setup,
        commandLine: (...argv) => commandLine(io.program, argv, env),
      }),
    );
    await stopped(io.stop);
    return EXIT.done;
  },
});

function wantedPorts(options: UpOptions, own: boolean): WantedPort[] {
  return [
    { flag: "--proxy-listen", listen: options.proxyListen },
    { flag: "--admin-listen", listen: options.adminListen },
    { flag: "--sync-listen", listen: options.syncListen },
    { flag: "--status-listen", listen: options.statusListen },
    ...(own ? [] : options.echoListen).map((listen) => ({
      flag: "--echo-listen",
      listen,
    })),
  ];
}
