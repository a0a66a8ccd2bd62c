/**
 * "api-version": a request says in a header which version of an API it wants. Versions that are not there are refused,
 * old ones are answered with a Deprecation header, and the upstream always hears of one.
 */
export const plugin = {
  name: "api-version",
  // Goes up when the configuration can ask for more than before.
  version: 1,
  // After those that find out who asks (above 1000), before those that change the request (801 and below).
  priority: 850,

  /** Every problem at once, with the path of the field inside the configuration. */
  validate(config) {
    const problems = [];
    const { header, supported, deprecated = [], fallback } = config;
    if (header !== undefined && !/^[A-Za-z0-9-]+$/.test(header))
      problems.push({ field: "header", reason: "is not the name of a header" });
    if (!isListOfTexts(supported) || supported.length === 0) {
      problems.push({
        field: "supported",
        reason: "must be a list of versions, with one at least",
      });
      return problems;
    }
    if (!isListOfTexts(deprecated))
      problems.push({
        field: "deprecated",
        reason: "must be a list of versions",
      });
    if (fallback !== undefined && !supported.includes(fallback))
      problems.push({
        field: "fallback",
        reason: `is "${fallback}", which is not among the supported versions`,
      });
    for (const field of Object.keys(config))
      if (!FIELDS.includes(field))
        problems.push({
          field,
          reason: `is not one of ${FIELDS.join(", ")}`,
        });
    return problems;
  },

  /** Called once for each configured plugin, and again only when its configuration changes. */
  create(config, { logger }) {
    const header = config.header ?? "X-API-Version";
    const supported = new Set(config.supported);
    const deprecated = new Set(config.deprecated ?? []);
    // What this plugin knows about one request goes from phase to phase in the request's context.
    const asked = new WeakMap();
    const warned = new Set();
    return {
      access(exchange) {
        const [given] = exchange.request.header(header.toLowerCase());
        const version = given ?? config.fallback;
        if (version === undefined || !supported.has(version))
          return {
            status: 400,
            message: `${header} must be one of ${[...supported].join(", ")}`,
          };
        asked.set(exchange, version);
        exchange.upstream.headers.set(header, version);
        return undefined;
      },
      headerFilter(exchange, { headers }) {
        const version = asked.get(exchange);
        if (version === undefined) return;
        headers.set(header, version);
        if (deprecated.has(version)) headers.set("Deprecation", "true");
      },
      log(exchange, entry) {
        const version = asked.get(exchange);
        const who = entry.consumer?.username ?? entry.clientIp;
        if (!deprecated.has(version) || warned.has(who) || warned.size > 10_000)
          return;
        warned.add(who);
        logger.info("api-version.deprecated", { version, who });
      },
      close() {
        warned.clear();
      },
    };
  },
};

const FIELDS = ["header", "supported", "deprecated", "fallback"];

function isListOfTexts(value) {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}
