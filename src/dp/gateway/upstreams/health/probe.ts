import { request as httpRequest, type ClientRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { splitHostPort } from "../../../../model/hosts.ts";
import type { Clock } from "../../../../runtime/clock.ts";
import { outcomeOf, type ActiveRules } from "./health-rules.ts";
import type { HealthOutcome } from "./judgement.ts";

/** A certificate that is shown, with its key, in PEM. */
export interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** Whom to ask, and how. */
export interface Probed {
  readonly rules: ActiveRules;
  /** What the address stands for. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  /** The Host header; undefined for the name. */
  readonly hostHeader: string | undefined;
  /** Shown to a target that asks for one. */
  readonly identities: readonly Identity[];
}

/** Asks a target how it is doing, on a connection of its own. Undefined when its answer tells nothing. Never rejects. */
export function probe(
  probed: Probed,
  clock: Clock,
): Promise<HealthOutcome | undefined> {
  const { rules } = probed;
  return new Promise((resolve) => {
    // Nothing while it is being made: what fails then fails at once.
    const begun: { asked?: ClientRequest | Socket } = {};
    const over = (outcome: HealthOutcome | undefined): void => {
      timer.cancel();
      begun.asked?.destroy();
      resolve(outcome);
    };
    const timer = clock.setTimer(rules.timeoutMs, () => {
      over("timeout");
    });
    const asked =
      rules.type === "tcp" || rules.type === "tls"
        ? knock(probed, over)
        : ask(probed, (status) => {
            over(outcomeOf(status, rules));
          });
    begun.asked = asked;
    // Also after it is over: what is destroyed may still fail.
    asked.on("error", () => {
      over("tcp-failure");
    });
  });
}

/** Only connects. */
function knock(probed: Probed, over: (outcome: HealthOutcome) => void): Socket {
  const { rules, address, port } = probed;
  if (rules.type === "tcp")
    return connectTcp(port, address, () => {
      over("success");
    });
  return connectTls({ host: address, port, ...tlsOf(probed) }, () => {
    over("success");
  });
}

function ask(
  probed: Probed,
  onStatus: (status: number) => void,
): ClientRequest {
  const { rules, name, address, port, hostHeader } = probed;
  const host = hostHeader ?? (name.includes(":") ? `[${name}]` : name);
  const headers = headersOf(host, rules.headers);
  const options = {
    host: address,
    port,
    path: rules.path,
    agent: false,
  } as const;
  const request =
    rules.type === "https"
      ? httpsRequest({ ...options, ...tlsOf(probed), headers })
      : httpRequest({ ...options, headers });
  request.once("response", (response) => {
    response.on("error", () => undefined);
    onStatus(response.statusCode ?? 0);
  });
  request.end();
  return request;
}

function tlsOf({ rules, name, hostHeader, identities }: Probed) {
  const host = hostHeader === undefined ? name : hostOf(hostHeader);
  const asked = rules.sni === "" ? host : rules.sni;
  return {
    rejectUnauthorized: rules.verify,
    // An address cannot be a server name.
    servername: isIP(asked) === 0 ? asked : "",
    ...(identities.length === 0
      ? {}
      : {
          cert: identities.map(({ cert }) => cert),
          key: identities.map(({ key }) => key),
        }),
  };
}

/** What a Host header names, without brackets. */
function hostOf(header: string): string {
  const host = splitHostPort(header)?.host ?? header;
  return host.startsWith("[") ? host.slice(1, -1) : host;
}

/** What is configured goes before what is sent otherwise. */
function headersOf(
  host: string,
  configured: readonly string[],
): Record<string, string | string[]> {
  const headers = new Map<string, string[]>();
  for (let i = 0; i < configured.length; i += 2) {
    const [name = "", value = ""] = configured.slice(i, i + 2);
    const key = name.toLowerCase();
    headers.set(key, [...(headers.get(key) ?? []), value]);
  }
  return {
    host,
    "user-agent": "holdfast (health check)",
    connection: "close",
    // Node takes no list for a name that can be there once only.
    ...Object.fromEntries(
      [...headers].map(([name, values]) => {
        const [value = "", ...more] = values;
        return [name, more.length === 0 ? value : values];
      }),
    ),
  };
}
