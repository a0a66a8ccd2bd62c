import {
  BasicAuthConfigSchema,
  type BasicAuthConfig,
} from "../../../gen/holdfast/plugin/v1/basic_auth_pb.js";
import {
  challengeOf,
  requireConsumer,
  unauthorized,
} from "../authentication.ts";
import {
  definePlugin,
  type Answer,
  type Exchange,
  type PluginEnvironment,
  type PluginHandlers,
} from "../plugin.ts";
import { LoginChecker } from "./login-checker.ts";

/** "basic-auth": a request needs the user name and password of a consumer. */
export const basicAuth = definePlugin({
  name: "basic-auth",
  version: 1,
  priority: 1100,
  schema: BasicAuthConfigSchema,
  create: (config, environment): PluginHandlers => {
    const checker = checkerOf(environment);
    return {
      access: (exchange) =>
        requireConsumer(config, exchange, () =>
          authenticate(config, exchange, checker),
        ),
    };
  },
});

/** The most bytes of a header that are decoded: user names have 512 characters, passwords 4,096. */
const MAX_HEADER_LENGTH = 32 * 1024;

async function authenticate(
  config: BasicAuthConfig,
  exchange: Exchange,
  checker: LoginChecker,
): Promise<Answer | undefined> {
  const login = findLogin(config, exchange);
  const refusal = unauthorized(
    "Unauthorized",
    challengeOf("Basic", { realm: config.realm ?? "service" }),
  );
  if (login === undefined) return refusal;
  const { username, password } = login;
  const owner = exchange.consumers.byLogin(username);
  const verdict = await checker.check(username, password, owner?.password);
  if (verdict === "busy")
    return {
      status: 503,
      headers: { "Retry-After": "1" },
      message: "Too many logins are being checked",
    };
  if (owner === undefined || verdict === "wrong") return refusal;
  exchange.authenticate(owner.consumer, owner.credentialId);
  return undefined;
}

interface Login {
  readonly username: string;
  readonly password: string;
}

/** The login at the first place that has one. Hides the header when asked to. */
function findLogin(
  { hideCredentials }: BasicAuthConfig,
  { request, upstream }: Exchange,
): Login | undefined {
  for (const name of ["proxy-authorization", "authorization"]) {
    const [value] = request.header(name);
    const login = value === undefined ? undefined : readLogin(value);
    if (login === undefined) continue;
    if (hideCredentials) upstream.headers.delete(name);
    return login;
  }
  return undefined;
}

/** Reads `Basic dXNlcjpwYXNzd29yZA==`. What follows the first colon is the password, colons and all. */
function readLogin(header: string): Login | undefined {
  if (header.length > MAX_HEADER_LENGTH) return undefined;
  const encoded = /^\s*basic\s+([A-Za-z0-9+/_-]+={0,2})\s*$/i.exec(header)?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, "base64").toString("utf8");
  const colon = text.indexOf(":");
  return colon < 0
    ? undefined
    : { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** One for all configurations of a data plane: how many passwords are tried at a time is a matter of its processors. */
const checkers = new WeakMap<PluginEnvironment, LoginChecker>();

function checkerOf(environment: PluginEnvironment): LoginChecker {
  let checker = checkers.get(environment);
  if (checker === undefined)
    checkers.set(environment, (checker = new LoginChecker()));
  return checker;
}
