import { OpentelemetryConfigSchema } from "../../gen/holdfast/plugin/v1/opentelemetry_pb.js";
import { definePluginModel } from "./known-plugin.ts";
import { outgoingHeaderProblems, urlProblems } from "./outgoing.ts";

/** The configuration of "opentelemetry". */
export const opentelemetryModel = definePluginModel({
  name: "opentelemetry",
  version: 1,
  schema: OpentelemetryConfigSchema,
  perConsumer: true,
  problems: ({ tracesEndpoint, endpoint, headers }) => [
    ...urlProblems("traces_endpoint", tracesEndpoint),
    ...urlProblems("endpoint", endpoint),
    // A type is what people give here; it is the one that is sent anyway.
    ...outgoingHeaderProblems(
      "headers",
      Object.fromEntries(
        Object.entries(headers).filter(
          ([name]) => name.toLowerCase() !== "content-type",
        ),
      ),
    ),
  ],
  notes: ({ logsEndpoint }) =>
    logsEndpoint === ""
      ? []
      : [
          {
            field: "logs_endpoint",
            reason:
              "is stored, but Holdfast's data planes send traces only, no log lines",
          },
        ],
});
