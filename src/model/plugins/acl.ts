import { AclConfigSchema } from "../../gen/holdfast/plugin/v1/acl_pb.js";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "acl". */
export const aclModel = definePluginModel({
  name: "acl",
  version: 1,
  schema: AclConfigSchema,
  perConsumer: false,
  problems: ({ allow, deny }) => {
    if (allow.length > 0 && deny.length > 0)
      return [{ field: "deny", reason: "cannot stand beside allow" }];
    return allow.length + deny.length === 0
      ? [{ field: "", reason: "one of allow and deny is needed" }]
      : [];
  },
});
