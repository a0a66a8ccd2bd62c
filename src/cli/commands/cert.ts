import { command } from "../command.ts";
import { flag, list, optional, toggle } from "../flags.ts";
import { EXIT, UsageError, type ExitCode } from "../io.ts";
import { didYouMean } from "../nearest.ts";
import { integer, oneOf, text, textLike } from "../value-types.ts";

const FOLDER = "./cluster";

/** A name that is a file's too, and a node's id. */
const name = textLike(
  "NAME",
  /^[0-9A-Za-z_-][0-9A-Za-z._-]{0,63}$/,
  "a name: 1 to 64 letters, digits, dots, underscores and hyphens",
);

const host = textLike(
  "ADDR",
  /^(?:[0-9A-Za-z*](?:[0-9A-Za-z._-]{0,252})|[0-9A-Fa-f:.]{2,45})$/,
  "a host's name or address",
);

const workspace = textLike(
  "NAME",
  /^[a-z0-9-]{1,63}$/,
  'a workspace: 1 to 63 of a-z, 0-9 and "-"',
);

/** What the verbs take, and what each of them does not. */
const FLAGS_OF = {
  init: ["out", "shared", "days"],
  issue: ["out", "to", "cp", "dp", "host", "workspace", "days"],
  revoke: ["out", "newList"],
  show: ["output"],
  "signing-key": ["out"],
} as const;
type Verb = keyof typeof FLAGS_OF;
const VERBS = Object.keys(FLAGS_OF) as readonly Verb[];

/** `holdfast cert` */
export const cert = command({
  name: "cert",
  summary: "Make and show certificates for the link between cp and dp",
  argsUsage: "init|issue|revoke FILE|show FILE…|signing-key",
  argsCount: { min: 1, max: 65 },
  help: [
    "init makes an authority: ca.crt, which control planes and data planes get with --cluster-ca; ca.key, which stays where it is; and ca.crl, the list of revoked certificates for --cluster-crl. With --shared it makes just one pair instead, cluster.crt and cluster.key, that all of them get.",
    "issue makes a pair NAME.crt and NAME.key by that authority: for a control plane with the hosts that data planes dial (--host; default: NAME), for a data plane with its node's id, which it alone can use then, and with --workspace for nodes of that workspace only.",
    "revoke adds a certificate to ca.crl; control planes that have it as --cluster-crl take it up within seconds and cut the node off. show prints what is in certificates. signing-key makes holdfast-signing.key and holdfast-signing.pub, which sign and verify snapshot files.",
    "Keys are readable by their owner only (0600), directories that are made too (0700). Nothing is overwritten but ca.crl. Everything works offline; any other tool's certificates are as good.",
  ],
  examples: [
    ["holdfast cert init", "An authority in ./cluster"],
    [
      "holdfast cert issue --cp cp.example.com --host cp.example.com --host 10.0.0.5",
      "For a control plane",
    ],
    ["holdfast cert issue --dp edge-7", "For the data plane edge-7"],
    [
      "holdfast cert issue --dp edge-8 --workspace staging",
      "It gets no other workspace's configuration",
    ],
    ["holdfast cert init --shared", "One pair for all instead"],
    ["holdfast cert show ./cluster/edge-7.crt", "When does it expire?"],
  ],
  flags: {
    out: flag(text("DIR"), {
      summary: "Where the authority is, and where files are written.",
      default: FOLDER,
    }),
    shared: toggle({ summary: "init: make one pair for everybody." }),
    cp: optional(name, { summary: "issue: for a control plane." }),
    dp: optional(name, {
      summary: "issue: for a data plane; NAME is its node's id.",
    }),
    host: list(host, {
      summary: "issue --cp: a host name or address that data planes dial.",
    }),
    workspace: list(workspace, {
      summary: "issue --dp: a workspace that the node may serve. Default: any.",
    }),
    to: optional(text("DIR"), {
      summary:
        "issue: another directory for the pair, such as for a renewed one.",
    }),
    newList: toggle({
      summary:
        "revoke: begin a ca.crl where there is none. Without it that is an error: the certificates revoked before would be let in again.",
    }),
    days: optional(integer(1, 36_500), {
      summary:
        "init, issue: how long it is valid. Default: 3650 for an authority, 1095 for a shared pair, 365 for others, and no longer than the authority.",
    }),
    output: flag(oneOf(["table", "json", "yaml"]), {
      summary: "show: how it is printed.",
      short: "o",
      default: "table",
    }),
  },
  async run({ io }, flags, [word = "", ...files]): Promise<ExitCode> {
    const verb = VERBS.find((known) => known === word);
    if (verb === undefined)
      throw new UsageError([
        `"${word}" is nothing that can be done with certificates.${didYouMean(word, VERBS, "cert ")} Possible: ${VERBS.join(", ")}`,
      ]);
    const needs = { init: 0, issue: 0, "signing-key": 0, revoke: 1, show: 64 };
    if (files.length > needs[verb])
      throw new UsageError([
        `"${files.slice(needs[verb]).join(" ")}" is too much for ${verb}`,
      ]);
    const given = {
      shared: flags.shared,
      cp: flags.cp !== undefined,
      dp: flags.dp !== undefined,
      host: flags.host.length > 0,
      workspace: flags.workspace.length > 0,
      to: flags.to !== undefined,
      days: flags.days !== undefined,
      newList: flags.newList,
    };
    const takes: readonly string[] = FLAGS_OF[verb];
    for (const [flagName, isGiven] of Object.entries(given))
      if (isGiven && !takes.includes(flagName))
        throw new UsageError([
          `--${flagName === "newList" ? "new-list" : flagName} does not go together with ${verb}`,
        ]);
    // Not before it is needed: every other command starts faster without it.
    const actions = await import("../certificates/actions.ts");
    const { out, days, shared, cp, dp } = flags;
    switch (verb) {
      case "init":
        await actions.init(io, { out, shared, days });
        return EXIT.done;
      case "issue": {
        const role =
          cp !== undefined && dp === undefined
            ? ({ type: "cp", name: cp, hosts: flags.host } as const)
            : dp !== undefined && cp === undefined
              ? ({
                  type: "dp",
                  name: dp,
                  workspaces: flags.workspace,
                } as const)
              : undefined;
        if (role === undefined)
          throw new UsageError([
            "issue is for a control plane (--cp NAME) or for a data plane (--dp NAME): give one of them",
          ]);
        if (role.type === "dp" && flags.host.length > 0)
          throw new UsageError([
            "--host goes together with --cp: nobody dials a data plane's name",
          ]);
        if (role.type === "cp" && flags.workspace.length > 0)
          throw new UsageError([
            "--workspace goes together with --dp: a control plane serves all of them",
          ]);
        await actions.issue(io, { out, to: flags.to ?? out, days, role });
        return EXIT.done;
      }
      case "revoke":
        if (files[0] === undefined)
          throw new UsageError([
            "which certificate? holdfast cert revoke FILE",
          ]);
        await actions.revoke(io, {
          out,
          file: files[0],
          newList: flags.newList,
        });
        return EXIT.done;
      case "show":
        if (files.length === 0)
          throw new UsageError([
            "which certificates? holdfast cert show FILE…",
          ]);
        await actions.show(io, { files, output: flags.output });
        return EXIT.done;
      case "signing-key":
        await actions.signingKey(io, { out });
        return EXIT.done;
      default:
        return verb satisfies never;
    }
  },
});
