import { acl } from "./acl/acl.ts";
import { basicAuth } from "./basic-auth/basic-auth.ts";
import { botDetection } from "./bot-detection/bot-detection.ts";
import { correlationId } from "./correlation-id/correlation-id.ts";
import { cors } from "./cors/cors.ts";
import { fileLog } from "./file-log/file-log.ts";
import { httpLog } from "./http-log/http-log.ts";
import { ipRestriction } from "./ip-restriction/ip-restriction.ts";
import { jwt } from "./jwt/jwt.ts";
import { keyAuth } from "./key-auth/key-auth.ts";
import { opentelemetry } from "./opentelemetry/opentelemetry.ts";
import type { Plugin } from "./plugin.ts";
import { prometheus } from "./prometheus/prometheus.ts";
import { proxyCache } from "./proxy-cache/proxy-cache.ts";
import { rateLimiting } from "./rate-limiting/rate-limiting.ts";
import { requestSizeLimiting } from "./request-size-limiting/request-size-limiting.ts";
import { requestTermination } from "./request-termination/request-termination.ts";
import { requestTransformer } from "./request-transformer/request-transformer.ts";
import { responseRatelimiting } from "./response-ratelimiting/response-ratelimiting.ts";
import { responseTransformer } from "./response-transformer/response-transformer.ts";

/** The plugins that this data plane has, by name. */
export const PLUGINS: ReadonlyMap<string, Plugin> = new Map(
  [
    acl,
    basicAuth,
    botDetection,
    correlationId,
    cors,
    fileLog,
    httpLog,
    ipRestriction,
    jwt,
    keyAuth,
    opentelemetry,
    prometheus,
    proxyCache,
    rateLimiting,
    requestSizeLimiting,
    requestTermination,
    requestTransformer,
    responseRatelimiting,
    responseTransformer,
  ].map((plugin) => [plugin.name, plugin]),
);
