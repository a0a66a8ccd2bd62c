import { isAddressRange } from "../dp/gateway/headers/trusted-proxies.ts";
import { flag, list, toggle, type Values } from "./flags.ts";
import { UsageError } from "./io.ts";
import { text, textLike } from "./value-types.ts";

/** What a data plane believes and tells in headers, and where it writes down what it served. */
export const answerFlags = {
  trustedIps: list(text("CIDR,…"), {
    summary:
      "Addresses and ranges of proxies in front, whose X-Forwarded-*, request id and --real-ip-header are believed. Without it: none; a hop is added to X-Forwarded-For in any case.",
  }),
  realIpHeader: flag(
    textLike(
      "NAME",
      /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/,
      "the name of a header, such as X-Real-IP or X-Forwarded-For",
    ),
    {
      summary:
        "Where trusted proxies say the client's address; the last one in it counts.",
      default: "X-Real-IP",
    },
  ),
  realIpRecursive: toggle({
    summary:
      "Take the last address in that header which is not trusted itself.",
  }),
  kongHeaders: toggle({
    summary:
      "Name the latency, request id and status headers X-Kong-* instead of X-Holdfast-*.",
  }),
  upstreamStatusHeader: toggle({
    summary: "Tell the upstream's status in X-Holdfast-Upstream-Status.",
  }),
  revisionHeader: toggle({
    summary: "Tell the revision that served a request in X-Holdfast-Revision.",
  }),
  accessLog: flag(text("PATH|stdout|off"), {
    summary:
      "Where a line of JSON is written for each request that is over. A file is appended to; after it was moved away, a new one is begun on SIGHUP, or by itself some seconds later.",
    default: "off",
  }),
  allowDebugHeader: toggle({
    summary:
      'Answer a request with "Kong-Debug: 1" with the ids and names of its route and service, in Kong-Route-Id and so on.',
  }),
};

/** What {@link answerFlags} say, as a gateway takes it. */
export function answerSettings(given: Values<typeof answerFlags>) {
  const trustedIps = given.trustedIps
    .flatMap((texts) => texts.split(","))
    .map((each) => each.trim())
    .filter((each) => each !== "");
  const wrong = trustedIps.filter((each) => !isAddressRange(each));
  if (wrong.length > 0)
    throw new UsageError(
      wrong.map(
        (each) =>
          `--trusted-ips: "${each}" is neither an address nor a range, such as 10.0.0.0/8 or 2001:db8::1`,
      ),
    );
  return {
    ...(given.accessLog === "off" ? {} : { accessLog: given.accessLog }),
    headers: {
      trustedIps,
      realIpHeader: given.realIpHeader,
      realIpRecursive: given.realIpRecursive,
      kongNames: given.kongHeaders,
      revision: given.revisionHeader,
      upstreamStatus: given.upstreamStatusHeader,
      debug: given.allowDebugHeader,
    },
  };
}

/** Whether an access log is a file, which can be moved away. */
export function isFile(accessLog: string): boolean {
  return accessLog !== "off" && accessLog !== "stdout";
}
