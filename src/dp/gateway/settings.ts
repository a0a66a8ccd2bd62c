import type { OnUnsupported } from "./compile/compile.ts";
import type { PluginModule } from "../plugins/modules/load-plugins.ts";
import type { HeaderOptions } from "./headers/header-settings.ts";

/**
 * What a gateway is told by whoever runs it. Plain data: where several processes proxy, each gets this as JSON, so that a
 * setting that is added here holds for all of them.
 */
export interface GatewaySettings {
  /** Whether a state with a plugin that is not there is refused, or served with 503 where that plugin would run. */
  readonly onUnsupported: OnUnsupported;
  /**
   * Whether the certificates of https upstreams are verified for services that do not say. Default false, as in Kong.
   */
  readonly tlsVerify?: boolean;
  /** How long requests under way may still take when the gateway closes, in milliseconds. Default 5 s. */
  readonly graceMs?: number;
  /** What the gateway believes and tells in headers. Default: nobody is trusted, and no more is told than always. */
  readonly headers?: HeaderOptions;
  /** Name servers to ask, HOST:PORT. Absent: those of the system. */
  readonly dnsServers?: readonly string[];
  /** Modules with plugins beside those that are built in. */
  readonly pluginModules?: readonly PluginModule[];
  /** Where each request that is over is written down: "stdout", or a file's path. Absent: nowhere. */
  readonly accessLog?: string;
}

/** What JSON can carry: no function, no class, no bigint anywhere in it. */
export type Plain<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends bigint | symbol | ((...args: never) => unknown)
    ? never
    : { readonly [K in keyof T]: Plain<T[K]> };
