import { HttpLogConfigSchema } from "../../gen/holdfast/plugin/v1/http_log_pb.js";
import { definePluginModel } from "./known-plugin.ts";
import { luaProblems } from "./no-lua.ts";
import { outgoingHeaderProblems, urlProblems } from "./outgoing.ts";

/** The configuration of "http-log". */
export const httpLogModel = definePluginModel({
  name: "http-log",
  version: 1,
  schema: HttpLogConfigSchema,
  perConsumer: true,
  problems: ({ httpEndpoint, headers, customFieldsByLua }) => [
    ...urlProblems("http_endpoint", httpEndpoint),
    ...outgoingHeaderProblems("headers", headers),
    ...(/^https?:\/\/[^/?#]*@/.test(httpEndpoint) &&
    Object.keys(headers).some((name) => name.toLowerCase() === "authorization")
      ? [
          {
            field: "headers",
            reason:
              'has an "Authorization", and http_endpoint a user and a password: only one of them can be sent',
          },
        ]
      : []),
    ...luaProblems(customFieldsByLua),
  ],
});
