import {
  RequestTerminationConfigSchema,
  type RequestTerminationConfig,
} from "../../../gen/holdfast/plugin/v1/plugins_pb.js";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginHandlers,
} from "../plugin.ts";

/** How much of a request's body is repeated in an echo. */
const MAX_ECHO_BYTES = 1024 * 1024;

/** "request-termination": the data plane answers itself. */
export const requestTermination = definePlugin({
  name: "request-termination",
  version: 1,
  priority: 2,
  schema: RequestTerminationConfigSchema,
  create: (config): PluginHandlers => ({
    access: (exchange) => {
      const { trigger } = config;
      if (trigger !== "" && !hasTrigger(exchange, trigger)) return undefined;
      if (config.echo) return echo(config, exchange);
      return plain(config, exchange);
    },
  }),
});

function hasTrigger(exchange: Exchange, trigger: string): boolean {
  if (exchange.request.header(trigger.toLowerCase()).length > 0) return true;
  return new URLSearchParams(exchange.request.rawQuery ?? "").has(trigger);
}

function plain(config: RequestTerminationConfig, { id }: Exchange): Answer {
  const status = config.statusCode ?? 503;
  if (config.body !== "")
    return {
      status,
      headers: {
        "Content-Type":
          config.contentType === ""
            ? "application/json; charset=utf-8"
            : config.contentType,
      },
      body: config.body,
    };
  const message =
    config.message === "" ? DEFAULT_MESSAGES.get(status) : config.message;
  return {
    status,
    body: {
      message: message ?? "The request was ended by the data plane",
      request_id: id,
    },
  };
}

async function echo(
  config: RequestTerminationConfig,
  exchange: Exchange,
): Promise<Answer> {
  const { request, route, service } = exchange;
  const body = await request.body(MAX_ECHO_BYTES);
  return {
    status: config.statusCode ?? 503,
    body: {
      ...(config.message === "" ? {} : { message: config.message }),
      ...(config.body === "" ? {} : { body: config.body }),
      request_id: exchange.id,
      request: {
        method: request.method,
        scheme: request.scheme,
        host: request.host,
        port: request.connection.localPort,
        path: request.rawPath,
        query: Object.fromEntries(new URLSearchParams(request.rawQuery ?? "")),
        headers: headersOf(exchange),
        body: body?.toString("utf8") ?? null,
      },
      matched_route: route,
      ...(service === undefined ? {} : { matched_service: service }),
    },
  };
}

function headersOf({ upstream }: Exchange): Record<string, string> {
  return Object.fromEntries(
    upstream.headers
      .names()
      .map((name) => [
        name.toLowerCase(),
        upstream.headers.get(name).join(", "),
      ]),
  );
}

const DEFAULT_MESSAGES = new Map([
  [401, "Unauthorized"],
  [404, "Not found"],
  [405, "Method not allowed"],
  [500, "An unexpected error occurred"],
  [502, "An invalid response was received from the upstream server"],
  [503, "Service unavailable"],
]);
