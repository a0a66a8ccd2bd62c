import { IpRestrictionConfigSchema } from "../../gen/holdfast/plugin/v1/ip_restriction_pb.js";
import { parseIpv4, parseIpv6 } from "../addresses.ts";
import { show, type Problem } from "../problem.ts";
import { definePluginModel } from "./known-plugin.ts";

/** The configuration of "ip-restriction". */
export const ipRestrictionModel = definePluginModel({
  name: "ip-restriction",
  version: 1,
  schema: IpRestrictionConfigSchema,
  perConsumer: true,
  problems: ({ allow, deny }) => [
    ...(allow.length + deny.length === 0
      ? [{ field: "", reason: "at least one of allow and deny is needed" }]
      : []),
    ...networkProblems("allow", allow),
    ...networkProblems("deny", deny),
  ],
});

function networkProblems(field: string, networks: readonly string[]) {
  return networks.flatMap((network, i): Problem[] =>
    isNetwork(network)
      ? []
      : [
          {
            field: `${field}[${i}]`,
            reason: `must be an IP address or a network such as "10.0.0.0/8", got ${show(network)}`,
          },
        ],
  );
}

/** Whether a text is an address, alone or with the length of a network's prefix. */
function isNetwork(text: string): boolean {
  const [address = "", bits, ...more] = text.split("/");
  if (more.length > 0) return false;
  const longest =
    parseIpv4(address) !== undefined
      ? 32
      : parseIpv6(address) !== undefined
        ? 128
        : undefined;
  if (longest === undefined) return false;
  return (
    bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= longest)
  );
}
