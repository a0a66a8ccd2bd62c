import { RequestSizeLimitingConfigSchema } from "../../../gen/holdfast/plugin/v1/request_size_limiting_pb.js";
import { definePlugin, type Answer, type PluginHandlers } from "../plugin.ts";

/** "request-size-limiting": the body of a request may have so many bytes. */
export const requestSizeLimiting = definePlugin({
  name: "request-size-limiting",
  version: 1,
  priority: 951,
  schema: RequestSizeLimitingConfigSchema,
  create: (config): PluginHandlers => {
    const unit = BYTES_IN[config.sizeUnit ?? "megabytes"] ?? BYTES_IN.megabytes;
    const limitBytes = (config.allowedPayloadSize ?? 128) * unit;
    return {
      access: ({ request }) => {
        const [told] = request.header("content-length");
        const expects = request.header("expect").join().trim().toLowerCase();
        // Who waits for leave to send has sent nothing yet.
        const status = expects === "100-continue" ? 417 : 413;
        const tooLarge: Answer = {
          status,
          message: "Request size limit exceeded",
        };
        if (told !== undefined)
          return Number(told) > limitBytes ? tooLarge : undefined;
        if (config.requireContentLength)
          return {
            status: 411,
            message: "A valid Content-Length header is required",
          };
        // How long it is will be seen on its way.
        request.limitBody(limitBytes, tooLarge);
        return undefined;
      },
    };
  },
});

const BYTES_IN = {
  bytes: 1,
  kilobytes: 1024,
  megabytes: 1024 * 1024,
} as Readonly<Record<string, number>> & { readonly megabytes: number };
