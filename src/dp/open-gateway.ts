import type { Registry } from "prom-client";
import type { Clock } from "../runtime/clock.ts";
import type { Logger, LogLevel } from "../runtime/logger.ts";
import { checkAccessLog } from "./gateway/access-log.ts";
import { keepRequestsYoung } from "./gateway/heap.ts";
import { Gateway } from "./gateway/gateway.ts";
import type { GatewaySettings } from "./gateway/settings.ts";
import { loadPlugins } from "./plugins/modules/load-plugins.ts";
import type { ProxyGateway } from "./proxy-gateway.ts";
import { WorkerGroup } from "./workers/worker-group.ts";

/** Processes of their own that proxy. */
export interface WorkerOptions {
  /** How many; at least one. */
  readonly count: number;
  /** The least important line that they log. */
  readonly logLevel: LogLevel;
}

/**
 * What a data plane proxies with, which does not listen yet: in this process, or in so many others.
 *
 * @throws AccessLogError when the access log cannot be written, PluginModuleError when a plugin cannot be had.
 */
export async function openGateway(
  options: {
    readonly gateway: GatewaySettings;
    readonly workers?: WorkerOptions;
  },
  deps: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly metrics: Registry;
  },
): Promise<{
  readonly gateway: ProxyGateway;
  /** The workers, where there are any. */
  readonly group: WorkerGroup | undefined;
}> {
  const { accessLog, pluginModules = [] } = options.gateway;
  if (accessLog !== undefined) await checkAccessLog(accessLog);
  if (options.workers === undefined) {
    keepRequestsYoung();
    return {
      gateway: Gateway.create({
        ...options.gateway,
        ...deps,
        plugins: await loadPlugins(pluginModules),
      }),
      group: undefined,
    };
  }
  const group = await WorkerGroup.start({
    ...options.workers,
    gateway: options.gateway,
    ...deps,
    random: Math.random,
  });
  return { gateway: group, group };
}
