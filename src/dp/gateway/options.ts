import type { Registry } from "prom-client";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { SharedCounters } from "../plugins/counters.ts";
import type { Plugin } from "../plugins/plugin.ts";
import type { Forwarder } from "./proxy/forward.ts";
import type { GatewaySettings } from "./settings.ts";

/** How a gateway is set up: its settings, and what it is given by its process. */
export interface GatewayOptions extends GatewaySettings {
  readonly clock: Clock;
  readonly logger: Logger;
  /** A number from 0 to below 1. Default: `Math.random`. */
  readonly random?: () => number;
  /** What makes requests to upstreams. Default: connections of its own, and http-proxy for upgrades. */
  readonly forwarder?: Forwarder;
  /** Where numbers about requests go. Absent: nowhere. */
  readonly metrics?: Registry;
  /** Counters that plugins share with other processes. Default: this process's own. */
  readonly counters?: SharedCounters;
  /** Plugins beside those that are built in. */
  readonly plugins?: readonly Plugin[];
}

/** The same with nothing left out that has a default. */
export type FullOptions = GatewayOptions &
  Required<
    Omit<
      GatewayOptions,
      | "forwarder"
      | "metrics"
      | "headers"
      | "counters"
      | "accessLog"
      | "pluginModules"
    >
  >;

/** What holds unless it is said otherwise. */
export const DEFAULTS: Pick<
  FullOptions,
  "tlsVerify" | "graceMs" | "random" | "plugins" | "dnsServers"
> = {
  plugins: [],
  tlsVerify: false,
  graceMs: 5_000,
  random: Math.random,
  dnsServers: [],
};
