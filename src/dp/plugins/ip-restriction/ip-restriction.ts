import { IpRestrictionConfigSchema } from "../../../gen/holdfast/plugin/v1/ip_restriction_pb.js";
import { definePlugin, type PluginHandlers } from "../plugin.ts";
import { networksOf, parseAddress } from "./networks.ts";

/** "ip-restriction": requests may come from some addresses only. */
export const ipRestriction = definePlugin({
  name: "ip-restriction",
  version: 1,
  priority: 990,
  schema: IpRestrictionConfigSchema,
  create: (config): PluginHandlers => {
    const denied = networksOf(config.deny);
    const allowed =
      config.allow.length === 0 ? undefined : networksOf(config.allow);
    return {
      access: ({ request }) => {
        const text = request.connection.remoteAddress;
        const address = parseAddress(text);
        const passes =
          address !== undefined &&
          !denied.has(address) &&
          allowed?.has(address) !== false;
        if (passes) return undefined;
        return {
          status: config.status ?? 403,
          message:
            config.message === ""
              ? `IP address not allowed: ${text}`
              : config.message,
        };
      },
    };
  },
});
