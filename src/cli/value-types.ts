import {
  formatHostPort,
  isLoopback,
  parseHostPort,
  type HostPort,
} from "../runtime/host-port.ts";
import type { Proxy } from "../runtime/tunnel.ts";

/** What came of reading a value; the reason says what is allowed. */
export type Read<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

/** How the text of a flag becomes a value. */
export interface ValueType<T> {
  /** What help calls the value: `HOST:PORT`. */
  readonly placeholder: string;
  read(text: string): Read<T>;
}

/** Any text but none. */
export function text(placeholder: string): ValueType<string> {
  return {
    placeholder,
    read: (given) =>
      given === "" ? no("must not be empty") : { ok: true, value: given },
  };
}

/** Text that a regular expression matches. */
export function textLike(
  placeholder: string,
  pattern: RegExp,
  allowed: string,
): ValueType<string> {
  return {
    placeholder,
    read: (given) =>
      pattern.test(given)
        ? { ok: true, value: given }
        : no(`"${given}" is not ${allowed}`),
  };
}

/** `127.0.0.1:8001`, `[::1]:8001`. */
export const hostPort: ValueType<HostPort> = {
  placeholder: "HOST:PORT",
  read(given) {
    const parsed = parseHostPort(given);
    return parsed.ok ? { ok: true, value: parsed.hostPort } : no(parsed.reason);
  },
};

/** Like {@link hostPort}, and only an address that no other machine can reach. */
export const loopbackHostPort: ValueType<HostPort> = {
  placeholder: "HOST:PORT",
  read(given) {
    const parsed = hostPort.read(given);
    if (!parsed.ok || isLoopback(parsed.value.host)) return parsed;
    return no(
      `${formatHostPort(parsed.value)} can be reached from other machines, and --insecure-sync sends the configuration with its secrets in clear to whoever connects: only a loopback address is allowed, such as 127.0.0.1:${parsed.value.port}`,
    );
  },
};

/** The proxy of HTTP CONNECT: `proxy.example:3128`, `http://user:password@proxy.example:3128`. What is wrong is told without what was given: it may hold a password. */
export const connectProxy: ValueType<Proxy> = {
  placeholder: "[http://[USER:PASSWORD@]]HOST:PORT",
  read(given) {
    const match =
      /^(?:http:\/\/(?:(?<user>[^:@/]*):(?<password>[^@/]*)@)?)?(?<address>[^@/]+)\/?$/.exec(
        given,
      );
    const { user, password, address = "" } = match?.groups ?? {};
    const parsed = parseHostPort(address);
    if (!parsed.ok || parsed.hostPort.port === 0)
      return no(
        "it is not the address of an HTTP proxy, such as proxy.example:3128 or http://user:password@proxy.example:3128",
      );
    if (user === undefined || password === undefined)
      return { ok: true, value: parsed.hostPort };
    let credentials: string;
    try {
      credentials = `${decodeURIComponent(user)}:${decodeURIComponent(password)}`;
    } catch {
      return no("its user or password has a % that is no escape: write %25");
    }
    const authorization = `Basic ${Buffer.from(credentials).toString("base64")}`;
    return { ok: true, value: { ...parsed.hostPort, authorization } };
  },
};

const UNIT_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;
const DURATION = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/;
const DURATION_PART = /(?<count>\d+(?:\.\d+)?)(?<unit>ms|s|m|h)/g;

/** `500ms`, `30s`, `1m30s`, as milliseconds of at most `max`. */
export function duration(max: string): ValueType<number> {
  const maxMs = millisecondsOf(max);
  return {
    placeholder: "DURATION",
    read(given) {
      const value = millisecondsOf(given);
      if (value === undefined)
        return no(`"${given}" is not a duration, such as 500ms, 30s or 1m30s`);
      if (maxMs !== undefined && value > maxMs)
        return no(`${given} is over ${max}`);
      return { ok: true, value };
    },
  };
}

function millisecondsOf(given: string): number | undefined {
  if (!DURATION.test(given)) return undefined;
  return [...given.matchAll(DURATION_PART)].reduce((sum, { groups }) => {
    const unit = groups?.["unit"] as keyof typeof UNIT_MS;
    return sum + Math.round(Number(groups?.["count"]) * UNIT_MS[unit]);
  }, 0);
}

/** A whole number within bounds. */
export function integer(min: number, max: number): ValueType<number> {
  return {
    placeholder: "N",
    read(given) {
      const value = Number(given);
      return /^\d+$/.test(given) && value >= min && value <= max
        ? { ok: true, value }
        : no(`"${given}" is not a whole number from ${min} to ${max}`);
    },
  };
}

/** A part of a whole, such as `95%`, as a number over 0 and at most 1. */
export const fraction: ValueType<number> = {
  placeholder: "PERCENT",
  read(given) {
    const percent = /^(?<digits>\d+(?:\.\d+)?)%$/.exec(given)?.groups?.[
      "digits"
    ];
    const value = Number(percent) / 100;
    return value > 0 && value <= 1
      ? { ok: true, value }
      : no(`"${given}" is not a part of the nodes: 1% to 100%, such as 95%`);
  },
};

/** How long to wait, and for which part of the nodes: `30s`, `95%/30s`. */
export function patience(max: string): ValueType<{
  readonly timeoutMs: number;
  readonly fraction?: number;
}> {
  const time = duration(max);
  return {
    placeholder: "[PERCENT/]DURATION",
    read(given) {
      const slash = given.indexOf("/");
      const timeoutMs = time.read(given.slice(slash + 1));
      if (!timeoutMs.ok) return timeoutMs;
      if (slash < 0) return { ok: true, value: { timeoutMs: timeoutMs.value } };
      const part = fraction.read(given.slice(0, slash));
      return part.ok
        ? {
            ok: true,
            value: { timeoutMs: timeoutMs.value, fraction: part.value },
          }
        : part;
    },
  };
}

/** The number of a revision. */
export const revision: ValueType<bigint> = {
  placeholder: "REVISION",
  read: (given) =>
    /^\d{1,19}$/.test(given)
      ? { ok: true, value: BigInt(given) }
      : no(`"${given}" is not a revision: a whole number, such as 5`),
};

/** One of some words. */
export function oneOf<const T extends string>(
  words: readonly T[],
): ValueType<T> {
  return {
    placeholder: words.join("|"),
    read(given) {
      const value = words.find((word) => word === given);
      return value === undefined
        ? no(`"${given}" is not one of ${words.join(", ")}`)
        : { ok: true, value };
    },
  };
}

/** `zone=eu-1`. */
export const keyValue: ValueType<readonly [string, string]> = {
  placeholder: "KEY=VALUE",
  read(given) {
    const equals = given.indexOf("=");
    if (equals < 1) return no(`"${given}" is not KEY=VALUE, such as zone=eu-1`);
    return {
      ok: true,
      value: [given.slice(0, equals), given.slice(equals + 1)],
    };
  },
};

/** The base address of an HTTP server, without a slash at the end; `http://` when it has no scheme. */
export const httpUrl: ValueType<string> = {
  placeholder: "URL",
  read(given) {
    const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(given)
      ? given
      : `http://${given}`;
    const url = URL.canParse(full) ? new URL(full) : undefined;
    const usable =
      (url?.protocol === "http:" || url?.protocol === "https:") &&
      url.search === "" &&
      url.hash === "";
    return usable
      ? { ok: true, value: url.href.replace(/\/+$/, "") }
      : no(
          `"${given}" is not the address of a server, such as http://127.0.0.1:8001`,
        );
  },
};

/** `true` or `false`. */
export const truth: ValueType<boolean> = {
  placeholder: "",
  read(given) {
    if (given === "true" || given === "1") return { ok: true, value: true };
    if (given === "false" || given === "0") return { ok: true, value: false };
    return no(`"${given}" is neither true nor false`);
  },
};

function no(reason: string): { ok: false; reason: string } {
  return { ok: false, reason };
}
