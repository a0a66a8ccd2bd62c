import { WaitForRevisionResponseSchema } from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { argument } from "../argument.ts";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { flag, list } from "../flags.ts";
import { json, writeValue } from "../output.ts";
import { duration, fraction, keyValue, revision } from "../value-types.ts";
import { waitForRevision } from "../wait-for-revision.ts";

/** `holdfast wait` */
export const wait = command({
  name: "wait",
  summary: "Wait until every node, or enough of them, serve a revision",
  argsUsage: "REVISION",
  argsCount: { min: 1, max: 1 },
  help: [
    "Counts the nodes that are connected, or were within the last minute, and those that join meanwhile. Without any it is done at once and says so. 0 is the newest revision.",
    "Ends with 0 when all serve the revision or a later one; with 3, the missing nodes and their reasons when time is up, and at once when a node refuses it, or is pinned or paused before it.",
    "With --fraction a part of the nodes is enough, and those that refuse it or are pinned only matter when too few are left. With --label only nodes that have it count.",
  ],
  examples: [
    ["holdfast wait 7", "Wait for revision 7"],
    ["holdfast wait 7 --timeout 5m", "Wait longer"],
    ["holdfast wait 7 --fraction 95% -l zone=eu", "Wait for most of a zone"],
  ],
  flags: {
    timeout: flag(duration("1h"), {
      summary: "How long at most.",
      default: "30s",
    }),
    fraction: flag(fraction, {
      summary: "Which part of the nodes is enough.",
      default: "100%",
    }),
    label: list(keyValue, {
      summary: "Only nodes with this label count; may be given several times.",
      short: "l",
    }),
    ...clientFlags,
  },
  async run({ io }, flags, [word = ""]) {
    const wanted = argument("REVISION", revision, word);
    return withClient(io, flags, async (client) => {
      const waited = await waitForRevision(io, client, wanted, {
        timeoutMs: flags.timeout,
        fraction: flags.fraction,
        labels: Object.fromEntries(flags.label),
      });
      if (flags.output !== "table")
        writeValue(
          io.stdout,
          flags.output,
          json(WaitForRevisionResponseSchema, waited.last),
        );
      return waited.code;
    });
  },
});
