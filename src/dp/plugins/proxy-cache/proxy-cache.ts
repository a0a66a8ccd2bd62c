import {
  ProxyCacheConfigSchema,
  type ProxyCacheConfig,
} from "../../../gen/holdfast/plugin/v1/proxy_cache_pb.js";
import { ContextKey } from "../context.ts";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type MutableHeaders,
  type PluginEnvironment,
  type PluginHandlers,
  type ResponseHandler,
  type ResponseHead,
} from "../plugin.ts";
import { readDirectives, secondsOf, type Directives } from "./cache-control.ts";
import { cacheKey } from "./cache-key.ts";
import { contentTypeMatcher } from "./content-type.ts";
import { gatheringsOf, memoryOf, type StoredAnswer } from "./memory.ts";

/** "proxy-cache": upstreams' answers are kept and given again. */
export const proxyCache = definePlugin({
  name: "proxy-cache",
  version: 1,
  priority: 100,
  schema: ProxyCacheConfigSchema,
  create,
});

/** What the cache did about a request. */
interface Course {
  /** Undefined for a request that has nothing to do with the cache. */
  readonly key: string | undefined;
  status: "Hit" | "Miss" | "Refresh" | "Bypass";
}

/** Headers that belong to one answer, to a connection, or say what is said anew. */
const NOT_KEPT: ReadonlySet<string> = new Set([
  "age",
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

let caches = 0;

function create(
  config: ProxyCacheConfig,
  environment: PluginEnvironment,
): PluginHandlers {
  const { clock } = environment;
  // Not the same keys for two caches, nor for one whose configuration changed.
  const cache = String(++caches);
  const courses = new ContextKey<Course>("proxy-cache");
  const methods = new Set(config.requestMethod);
  const codes = new Set(config.responseCode);
  const fits = contentTypeMatcher(config.contentType);
  const obeys = config.cacheControl ?? false;

  const access = (exchange: Exchange): Answer | undefined => {
    const memory = memoryOf(environment);
    const { request, context } = exchange;
    const directives = readDirectives(request.header("cache-control"));
    const refused =
      obeys &&
      (directives.has("no-store") ||
        directives.has("no-cache") ||
        request.header("authorization").length > 0);
    if (!methods.has(request.method) || refused) {
      context.set(courses, { key: undefined, status: "Bypass" });
      return undefined;
    }
    const key = `${cache} ${cacheKey(config, exchange)}`;
    const course: Course = { key, status: "Miss" };
    context.set(courses, course);
    const stored = memory.get(key);
    if (stored === undefined)
      return obeys && directives.has("only-if-cached")
        ? { status: 504, message: "Gateway Timeout" }
        : undefined;
    const age = Math.floor((clock.now() - stored.storedMs) / 1000);
    if (!isFresh(stored, age, obeys ? directives : undefined)) {
      course.status = "Refresh";
      return undefined;
    }
    course.status = "Hit";
    const headers: Record<string, string> = { ...stored.headers };
    if (config.responseHeaders?.age !== false) headers["Age"] = String(age);
    return { status: stored.status, headers, body: stored.body };
  };

  const response = (
    { context, upstream }: Exchange,
    head: ResponseHead,
  ): ResponseHandler | undefined => {
    const course = context.get(courses);
    if (course?.key === undefined || course.status === "Hit") return undefined;
    if (!head.fromUpstream) return undefined;
    const ttlSeconds = ttlOf(head);
    if (ttlSeconds === undefined) {
      course.status = "Bypass";
      return undefined;
    }
    const kept = keptHeaders(head.headers);
    // It is of the body that a HEAD does not get: nobody else knows it.
    const [length] = head.headers.get("Content-Length");
    if (upstream.method === "HEAD" && length !== undefined)
      kept["Content-Length"] = length;
    return watch(course.key, { status: head.status, kept, ttlSeconds });
  };

  /** How long an answer may be given again; undefined when not at all. */
  const ttlOf = ({ status, headers }: ResponseHead): number | undefined => {
    const [type = ""] = headers.get("Content-Type");
    if (!codes.has(status) || !fits(type)) return undefined;
    // They are for one client alone.
    if (headers.get("Set-Cookie").length > 0) return undefined;
    if (headers.get("Vary").join().includes("*")) return undefined;
    const own = config.cacheTtl ?? 300;
    if (!obeys) return own;
    const directives = readDirectives(headers.get("Cache-Control"));
    if (["private", "no-store", "no-cache"].some((one) => directives.has(one)))
      return undefined;
    const told =
      secondsOf(directives, "s-maxage") ??
      secondsOf(directives, "max-age") ??
      secondsUntil(headers.get("Expires")[0], clock.now()) ??
      own;
    return told > 0 ? told : undefined;
  };

  const watch = (
    key: string,
    {
      status,
      kept,
      ttlSeconds,
    }: {
      readonly status: number;
      readonly kept: StoredAnswer["headers"];
      readonly ttlSeconds: number;
    },
  ): ResponseHandler => {
    const gathering = gatheringsOf(environment).begin();
    return {
      watch: (chunk, last) => {
        gathering.take(chunk);
        const body = last ? gathering.end() : undefined;
        if (body === undefined) return;
        const answer: StoredAnswer = {
          status,
          headers: kept,
          body,
          storedMs: clock.now(),
          ttlSeconds,
        };
        memoryOf(environment).set(key, answer, {
          ttl: (config.storageTtl ?? ttlSeconds) * 1000,
        });
      },
    };
  };

  const headerFilter = (
    { context }: Exchange,
    { headers }: ResponseHead,
  ): void => {
    const course = context.get(courses);
    if (course === undefined) return;
    const shown = config.responseHeaders;
    if (shown?.xCacheStatus !== false)
      headers.set("X-Cache-Status", course.status);
    if (shown?.xCacheKey !== false && course.key !== undefined)
      headers.set("X-Cache-Key", course.key.slice(course.key.indexOf(" ") + 1));
  };

  return { access, response, headerFilter };
}

/** Whether an answer may still be given, and is young enough for who asks. */
function isFresh(
  { ttlSeconds }: StoredAnswer,
  age: number,
  asked: Directives | undefined,
): boolean {
  const left = ttlSeconds - age;
  if (asked === undefined) return left > 0;
  const maxAge = secondsOf(asked, "max-age");
  if (maxAge !== undefined && age > maxAge) return false;
  const minFresh = secondsOf(asked, "min-fresh");
  if (minFresh !== undefined && left < minFresh) return false;
  if (!asked.has("max-stale")) return left > 0;
  const maxStale = secondsOf(asked, "max-stale");
  return left > 0 || maxStale === undefined || -left <= maxStale;
}

function secondsUntil(
  expires: string | undefined,
  nowMs: number,
): number | undefined {
  if (expires === undefined) return undefined;
  const ms = Date.parse(expires);
  // "0" and the like mean that it is over.
  return Number.isNaN(ms) ? 0 : Math.floor((ms - nowMs) / 1000);
}

function keptHeaders(headers: MutableHeaders): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of headers.names()) {
    const lower = name.toLowerCase();
    if (NOT_KEPT.has(lower) || /^x-(holdfast|kong)-/.test(lower)) continue;
    kept[name] = headers.get(name).join(", ");
  }
  return kept;
}
