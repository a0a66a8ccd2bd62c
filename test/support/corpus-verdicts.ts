/**
 * What becomes of each file: the first problem, or which requests are answered how when there is one for each path of
 * each route and one below it: as the file is, and with those plugins disabled that the data plane does not have.
 */
export const VERDICTS: Readonly<
  Record<
    string,
    | { readonly refused: string }
    | { readonly asItIs: string; readonly withoutLacking: string }
  >
> = {
  "aelf-kong-service.yml": {
    asItIs: "42 by basic-auth",
    withoutLacking: "42 by basic-auth",
  },
  "aivo-virtual-brain.yml": {
    refused:
      'plugin "file-log": config.custom_fields_by_lua["correlation_id"]: aivo-virtual-brain.yml:700:25: Lua is not run here',
  },
  "api-erichsen-konnect.yml": {
    asItIs: "12 without a plugin, 2 https only",
    withoutLacking: "2 https only, 4 by request-termination, 8 served",
  },
  "dbless-oauth2.yml": {
    asItIs: "2 served, 2 without a plugin",
    withoutLacking: "4 served",
  },
  "deck-cicd-mtls.yml": {
    asItIs: "2 https only, 2 served, 4 without a plugin",
    withoutLacking: "2 https only, 6 served",
  },
  "deck-configuration-11.yml": {
    refused:
      'route "fleet-asset-details": paths[0]: deck-configuration-11.yml:49:7: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "decktest-entities-with-options.yml": {
    asItIs: "6 served",
    withoutLacking: "6 served",
  },
  "digit-core-storm.yml": { asItIs: "36 served", withoutLacking: "36 served" },
  "docker-kong-tracing-tcp.yml": {
    asItIs: "2 without a plugin",
    withoutLacking: "2 by key-auth, 2 served",
  },
  "e-cite-ansible.yml": {
    asItIs: "2 by acl, 4 served, 6 by basic-auth, 6 by key-auth",
    withoutLacking: "2 by acl, 4 served, 6 by basic-auth, 6 by key-auth",
  },
  "fhir-server-konnect-dump.yml": {
    asItIs: "6 by no route, 8 without a plugin",
    withoutLacking: "6 by no route, 8 by key-auth, 8 served",
  },
  "flowforge.yml": {
    asItIs: "16 by key-auth, 58 served",
    withoutLacking: "16 by key-auth, 58 served",
  },
  "gsa-idva-ingress.yml": {
    refused:
      'service "sk-api": host: gsa-idva-ingress.yml:4:5: must be a host name (letters, digits, "-", "_", "."), an IP address or the name of an upstream, got "identity-idva-sk-api-${ENVIRONMENT_NAME}.apps.internal"',
  },
  "healthy-cameras.yml": {
    asItIs:
      "2 by jwt, 2 by key-auth, 2 https only, 36 served, 6 without a plugin",
    withoutLacking:
      "2 by basic-auth, 2 by jwt, 2 by key-auth, 2 https only, 40 served",
  },
  "hr-token-exchange-konnect.yml": {
    asItIs: "8 without a plugin",
    withoutLacking: "8 served",
  },
  "kic-consumer-groups.yml": { asItIs: "", withoutLacking: "" },
  "kic-httproute-expressions.yml": { asItIs: "", withoutLacking: "" },
  "kic-udproute.yml": { asItIs: "", withoutLacking: "" },
  "kong-asic-demo-deck.yml": {
    refused:
      'plugin "http-log": config.custom_fields_by_lua["streams"]: kong-asic-demo-deck.yml:197:15: Lua is not run here',
  },
  "kong-dbless-sample.json": { asItIs: "2 served", withoutLacking: "2 served" },
  "kong-proxy-docker-certs.yml": {
    asItIs: "4 https only",
    withoutLacking: "4 https only",
  },
  "kong-vault-proxy-deck.yml": {
    asItIs: "8 without a plugin",
    withoutLacking: "4 by acl, 4 served, 8 by key-auth",
  },
  "munbon2.yml": {
    refused:
      "jwt_secret #1: key: munbon2.yml:433:5: is missing: in a file a credential must have it",
  },
  "node-kong-setup.yml": { asItIs: "2 by jwt", withoutLacking: "2 by jwt" },
  "reconciler-wildcard-host.yml": {
    asItIs: "2 served",
    withoutLacking: "2 served",
  },
  "sahool-unified.yml": {
    asItIs: "136 by request-termination, 4 by acl, 8 by jwt",
    withoutLacking: "136 by request-termination, 4 by acl, 8 by jwt",
  },
  "smart-clinic-env-urls.yml": {
    refused:
      'service "auth-service": url: smart-clinic-env-urls.yml:10:10: "$AUTH_SERVICE_URL" is not of the form "protocol://host:port/path"',
  },
  "supabase-docker.yml": {
    asItIs:
      "12 by key-auth, 2 by basic-auth, 26 served, 4 without a plugin, 8 by request-termination",
    withoutLacking:
      "12 by key-auth, 2 by basic-auth, 30 served, 8 by request-termination",
  },
  "supos-db_export.yml": {
    asItIs: "106 served, 2 without a plugin, 6 by key-auth",
    withoutLacking: "108 served, 6 by key-auth",
  },
  "ticketremaster-template.yml": {
    asItIs: "1 by no route, 23 by key-auth, 37 served",
    withoutLacking: "1 by no route, 23 by key-auth, 37 served",
  },
  "toll-hub.yml": {
    asItIs: "4 served, 8 by jwt",
    withoutLacking: "4 served, 8 by jwt",
  },
  "broken/acl-without-consumer-11.yml": {
    refused:
      'acl "anon": consumer: acl-without-consumer-11.yml:22:5: is required',
  },
  "broken/dangling-service-refs-11.yml": {
    refused:
      'route "fleet-asset-details": paths[0]: dangling-service-refs-11.yml:25:9: in format 1.1 a regular expression has no "~" in front: take it away, or set _format_version to "3.0"',
  },
  "broken/dup-nested-key-konnect.yml": {
    refused:
      "partials: dup-nested-key-konnect.yml:52:1: this kind of entity is not supported yet",
  },
  "broken/dup-toplevel-keys-21.yml": {
    asItIs: "2 served",
    withoutLacking: "2 served",
  },
  "broken/duplicate-service-names-21.yml": {
    refused:
      'service "security-service": duplicate-service-names-21.yml:15:5: is declared twice: its name is taken by that at duplicate-service-names-21.yml:5:5 (services[0])',
  },
  "broken/empty-declarative.yml": { asItIs: "", withoutLacking: "" },
  "broken/format-0.1-konnect-legacy.yml": {
    refused:
      '_format_version: format-0.1-konnect-legacy.yml:1:18: expected one of "1.1", "2.1", "3.0", got "0.1"',
  },
  "broken/regex-path-without-tilde-30.yml": {
    asItIs: "10 served, 20 by no route",
    withoutLacking: "10 served, 20 by no route",
  },
  "broken/service-without-host-and-unknown-fields.yml": {
    refused:
      'service "route-communication-ws": host: service-without-host-and-unknown-fields.yml:26:5: is required',
  },
  "broken/unknown-plugin-field-21.yml": {
    refused:
      'plugin "request-termination": routes: unknown-plugin-field-21.yml:159:5: unknown field; did you mean "route"?',
  },
  "broken/unrendered-template.yml": {
    refused:
      "unrendered-template.yml:107:1: not valid YAML: implicit keys need to be on a single line; this looks like a template: render it first",
  },
  "broken/yaml-syntax-error.yml": {
    refused:
      "yaml-syntax-error.yml:317:1: not valid YAML: a block sequence may not be used as an implicit map key",
  },
};

/** Texts that the paths match which are expressions. */
export const EXAMPLES: Readonly<Record<string, string>> = {
  "~/Observation$": "/Observation",
  "~/Patient$": "/Patient",
  "~/Patient/(?<id>[^#?/]+)$": "/Patient/7",
  "~/requestByUri/(?<target>\\w+)": "/requestByUri/a",
  "~/v2/control-planes/(?<rgid>\\S+?)/core-entities/(?<path>.+)":
    "/v2/control-planes/7/core-entities/x",
  "~/v2/runtime-groups/(?<rgid>\\S+?)/core-entities/(?<path>.+)":
    "/v2/runtime-groups/7/core-entities/x",
  "~/marketplace/[^/]+$": "/marketplace/ticket-1",
  "~/transfer/[^/]+/buyer-verify$": "/transfer/7/buyer-verify",
  "~/transfer/[^/]+/seller-verify$": "/transfer/7/seller-verify",
};

/** Expressions that no path matches: they ask for more after its end. */
export const NEVER_MATCHED: ReadonlySet<string> = new Set(["~/demo/$(\\d+)"]);
