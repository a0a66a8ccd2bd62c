import {
  CorrelationIdConfigSchema,
  type CorrelationIdConfig,
} from "../../../gen/holdfast/plugin/v1/plugins_pb.js";
import {
  definePlugin,
  type Exchange,
  type PluginEnvironment,
  type PluginHandlers,
} from "../plugin.ts";

/** "correlation-id": every request has an id in a header; one that the client sent is kept. */
export const correlationId = definePlugin({
  name: "correlation-id",
  version: 1,
  priority: 100_001,
  schema: CorrelationIdConfigSchema,
  create,
});

function create(
  config: CorrelationIdConfig,
  environment: PluginEnvironment,
): PluginHandlers {
  const header = config.headerName ?? "Kong-Request-ID";
  const generate = generatorOf(config.generator ?? "", environment);
  const ids = new WeakMap<Exchange, string>();
  return {
    access: (exchange) => {
      const [sent = ""] = exchange.request.header(header.toLowerCase());
      const id = sent === "" ? generate(exchange) : sent;
      if (sent === "") exchange.upstream.headers.set(header, id);
      if (config.echoDownstream) ids.set(exchange, id);
      return undefined;
    },
    headerFilter: (exchange, response) => {
      if (!config.echoDownstream) return;
      // A plugin that runs earlier may have answered already; what the client sent is echoed all the same.
      const id =
        ids.get(exchange) ?? exchange.request.header(header.toLowerCase())[0];
      if (id !== undefined && id !== "") response.headers.set(header, id);
    },
  };
}

function generatorOf(
  name: string,
  { clock, uuid, pid }: PluginEnvironment,
): (exchange: Exchange) => string {
  switch (name) {
    case "uuid":
      return uuid;
    case "tracker":
      return ({ request: { connection } }) =>
        [
          connection.localAddress,
          connection.localPort,
          pid,
          connection.serial,
          connection.requests,
          (clock.now() / 1000).toFixed(3),
        ].join("-");
    default: {
      // "uuid#counter": cheap, and the order of a process's requests can be seen.
      const prefix = uuid();
      let count = 0;
      return () => `${prefix}#${++count}`;
    }
  }
}
