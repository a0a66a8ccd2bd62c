import {
  WatchResponseSchema,
  type RevisionEvent,
} from "../../gen/holdfast/admin/v1/config_service_pb.js";
import { create } from "@bufbuild/protobuf";
import { clientFlags, withClient } from "../client.ts";
import { command } from "../command.ts";
import { optional, toggle } from "../flags.ts";
import { follow } from "../follow.ts";
import { json, writeEvent } from "../output.ts";
import { describeChange } from "../resource-change.ts";
import { revision } from "../value-types.ts";
import { revisionHeadline } from "./history.ts";

/** `holdfast watch` */
export const watch = command({
  name: "watch",
  summary: "Print revisions as they are committed, until interrupted",
  argsUsage: "",
  argsCount: { min: 0, max: 0 },
  help: [
    "Each revision once, in order, with what it changed. When the connection is lost it is opened again and nothing is missed. With -o json every revision is one line (a very large one several), with -o yaml one document.",
    "Secrets are shown as *** unless --secrets is given.",
  ],
  examples: [
    ["holdfast watch", "See changes as they are made"],
    ["holdfast watch --after 40 -o json", "From revision 41 on, for a program"],
  ],
  flags: {
    after: optional(revision, {
      summary:
        "Begin with the revision after this one. Without it: with the next one.",
    }),
    secrets: toggle({ summary: "Show secrets in clear." }),
    ...clientFlags,
  },
  async run({ io }, flags) {
    let seen = flags.after;
    let epoch = "";
    const print = (event: RevisionEvent) => {
      if (flags.output === "table") {
        const headline =
          event.revision === undefined
            ? []
            : [revisionHeadline(event.revision)];
        const lines = [
          ...headline,
          ...event.changes.flatMap(describeChange).map((line) => `  ${line}`),
          "",
        ];
        io.stdout.write(lines.join("\n"));
        return;
      }
      const answer = create(WatchResponseSchema, {
        event: { case: "revision", value: event },
      });
      writeEvent(io.stdout, flags.output, json(WatchResponseSchema, answer));
    };
    return withClient(io, flags, (client) =>
      follow(
        io,
        client,
        (signal) =>
          client.config.watch(
            {
              workspace: client.workspace,
              includeSecrets: flags.secrets,
              ...(seen === undefined ? {} : { afterRevision: seen, epoch }),
            },
            { signal },
          ),
        ({ event }) => {
          switch (event.case) {
            case "revision":
              print(event.value);
              // Of one that comes in parts, the last part counts.
              if (event.value.more) return;
              seen = event.value.revision?.cursor?.revision ?? seen;
              epoch = event.value.revision?.cursor?.epoch ?? epoch;
              return;
            case "heartbeat":
              // The first one says from where on nothing must be missed.
              seen ??= event.value.revision;
              epoch = event.value.epoch;
              return;
            case undefined:
              return;
            default:
              return event satisfies never;
          }
        },
      ),
    );
  },
});
