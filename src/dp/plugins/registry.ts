import { correlationId } from "./correlation-id/correlation-id.ts";
import { cors } from "./cors/cors.ts";
import { keyAuth } from "./key-auth/key-auth.ts";
import type { Plugin } from "./plugin.ts";
import { requestTermination } from "./request-termination/request-termination.ts";

/** The plugins that this data plane has, by name. */
export const PLUGINS: ReadonlyMap<string, Plugin> = new Map(
  [keyAuth, cors, requestTermination, correlationId].map((plugin) => [
    plugin.name,
    plugin,
  ]),
);
