import {
  PauseResponseSchema,
  ResumeResponseSchema,
} from "../../gen/holdfast/admin/v1/node_service_pb.js";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { EXIT } from "../io.ts";
import { json, writeValue } from "../output.ts";

/** `holdfast pause` */
export const pause = command({
  name: "pause",
  summary: "Stop sending changes to the data planes of a workspace",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Changes are still taken and recorded; nodes stay at the newest revision of now, also those that connect later, and over restarts, until resume. A node that is pinned follows its pin all the same: so one node can try what all others are to get.",
    "Paused already: it stays at the revision it is paused at.",
  ],
  examples: [
    ["holdfast pause", "Hold all nodes where they are"],
    ["holdfast pause --workspace shop", "Those of another workspace"],
  ],
  flags: clientFlags,
  run: ({ io }, flags) =>
    withClient(io, flags, async ({ nodes, workspace, call }) => {
      const answer = await nodes.pause({ workspace }, call);
      if (flags.output !== "table")
        writeValue(io.stdout, flags.output, json(PauseResponseSchema, answer));
      else
        io.stdout.write(
          `workspace ${workspace} is paused at revision ${answer.revision}\n`,
        );
      return EXIT.done;
    }),
});

/** `holdfast resume` */
export const resume = command({
  name: "resume",
  summary: "Send changes to the data planes of a workspace again",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "All nodes that are not pinned are sent the newest revision. Not paused: nothing changes.",
  ],
  examples: [["holdfast resume", "Let all nodes follow again"]],
  flags: clientFlags,
  run: ({ io }, flags) =>
    withClient(io, flags, async ({ nodes, workspace, call }) => {
      const answer = await nodes.resume({ workspace }, call);
      if (flags.output !== "table")
        writeValue(io.stdout, flags.output, json(ResumeResponseSchema, answer));
      else
        io.stdout.write(
          `workspace ${workspace} is not paused: nodes are sent revision ${answer.revision}\n`,
        );
      return EXIT.done;
    }),
});
