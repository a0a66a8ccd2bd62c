import { HttpLogConfigSchema } from "../../../gen/holdfast/plugin/v1/http_log_pb.js";
import { logFields } from "../../gateway/log-entry.ts";
import { BatchQueue, batchSettings } from "../batch-queue.ts";
import { HttpSender } from "../http-sender.ts";
import { definePlugin } from "../plugin.ts";

/** "http-log": what became of each request is sent to a server, as JSON. */
export const httpLog = definePlugin({
  name: "http-log",
  version: 1,
  priority: 12,
  schema: HttpLogConfigSchema,
  create: (config, environment) => {
    const { method = "POST", contentType = "application/json" } = config;
    const sender = new HttpSender({
      url: config.httpEndpoint,
      method,
      headers: { ...config.headers, "Content-Type": contentType },
      timeoutMs: config.timeout ?? 10_000,
      keepAliveMs: config.keepalive ?? 60_000,
      clock: environment.clock,
    });
    const settings = batchSettings(
      config.queue,
      { maxBatchSize: 1 },
      {
        maxBatchSize: config.queueSize === 1 ? undefined : config.queueSize,
        maxDelay: config.flushTimeout === 2 ? undefined : config.flushTimeout,
      },
    );
    const queue = new BatchQueue<string>(settings, {
      ...environment,
      plugin: "http-log",
      // One entry is an object, as in Kong; several are a list.
      send: (batch, signal) =>
        sender.send(
          settings.maxBatchSize === 1
            ? (batch[0] ?? "")
            : `[${batch.join(",")}]`,
          signal,
        ),
    });
    return {
      log: (_exchange, entry) => {
        const text = JSON.stringify(logFields(entry));
        queue.add(text, Buffer.byteLength(text));
      },
      close: async () => {
        await queue.close();
        await sender.close();
      },
    };
  },
});
