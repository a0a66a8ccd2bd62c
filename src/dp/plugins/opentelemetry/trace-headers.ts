import type { MutableHeaders } from "../plugin.ts";

/** Where a request belongs in somebody's trace. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** Of the span that this one is a part of: 16 hexadecimal digits; empty when none is told. */
  readonly spanId: string;
  /** Undefined when nothing is said about it. */
  readonly sampled: boolean | undefined;
}

interface Form {
  /** Undefined when there is none, or none that can be read. */
  read(header: (name: string) => string): TraceContext | undefined;
  write(context: Required<TraceContext>, headers: MutableHeaders): void;
}

const HEX16 = "[0-9a-f]{16}";
const bit = (sampled: boolean | undefined): string => (sampled ? "1" : "0");

function told(flag: string | undefined): boolean | undefined {
  if (flag === undefined || flag === "") return undefined;
  return flag === "1" || flag === "d" || flag.toLowerCase() === "true";
}

function contextOf(
  traceId: string,
  spanId: string,
  sampled: boolean | undefined,
): TraceContext | undefined {
  const trace = traceId.toLowerCase().padStart(32, "0");
  const span = spanId === "" ? "" : spanId.toLowerCase().padStart(16, "0");
  return /^[0-9a-f]{32}$/.test(trace) &&
    !/^0+$/.test(trace) &&
    (span === "" || (/^[0-9a-f]{16}$/.test(span) && !/^0+$/.test(span)))
    ? { traceId: trace, spanId: span, sampled }
    : undefined;
}

function decimalToHex(text: string): string {
  return /^\d{1,20}$/.test(text) ? BigInt(text).toString(16) : "x";
}

function hexToDecimal(hex: string): string {
  return String(BigInt(`0x${hex}`));
}

const W3C: Form = {
  read: (header) => {
    const match = new RegExp(
      `^([0-9a-f]{2})-([0-9a-f]{32})-(${HEX16})-([0-9a-f]{2})(?:-.*)?$`,
    ).exec(header("traceparent").trim());
    if (match === null || match[1] === "ff") return undefined;
    const flags = Number.parseInt(match[4] ?? "0", 16);
    return contextOf(match[2] ?? "", match[3] ?? "", (flags & 1) === 1);
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("traceparent", `00-${traceId}-${spanId}-0${bit(sampled)}`);
  },
};

const B3: Form = {
  read: (header) =>
    header("x-b3-traceid") === ""
      ? undefined
      : contextOf(
          header("x-b3-traceid"),
          header("x-b3-spanid"),
          told(header("x-b3-flags") === "1" ? "1" : header("x-b3-sampled")),
        ),
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("X-B3-TraceId", traceId);
    headers.set("X-B3-SpanId", spanId);
    headers.set("X-B3-Sampled", bit(sampled));
  },
};

const B3_SINGLE: Form = {
  read: (header) => {
    const [trace = "", span = "", flag] = header("b3").trim().split("-");
    return span === "" ? undefined : contextOf(trace, span, told(flag));
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("b3", `${traceId}-${spanId}-${bit(sampled)}`);
  },
};

const JAEGER: Form = {
  read: (header) => {
    const parts = decodeURIComponentSafe(header("uber-trace-id")).split(":");
    const [trace = "", span = "", , flags = ""] = parts;
    return parts.length === 4
      ? contextOf(trace, span, (Number.parseInt(flags, 16) & 1) === 1)
      : undefined;
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("uber-trace-id", `${traceId}:${spanId}:0:0${bit(sampled)}`);
  },
};

const OT: Form = {
  read: (header) =>
    header("ot-tracer-traceid") === ""
      ? undefined
      : contextOf(
          header("ot-tracer-traceid"),
          header("ot-tracer-spanid"),
          told(header("ot-tracer-sampled")),
        ),
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("ot-tracer-traceid", traceId.slice(16));
    headers.set("ot-tracer-spanid", spanId);
    headers.set("ot-tracer-sampled", bit(sampled));
  },
};

const DATADOG: Form = {
  read: (header) => {
    const trace = header("x-datadog-trace-id");
    if (trace === "") return undefined;
    const parent = header("x-datadog-parent-id");
    const priority = header("x-datadog-sampling-priority");
    return contextOf(
      decimalToHex(trace),
      parent === "" ? "" : decimalToHex(parent),
      priority === "" ? undefined : Number(priority) > 0,
    );
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set("x-datadog-trace-id", hexToDecimal(traceId.slice(16)));
    headers.set("x-datadog-parent-id", hexToDecimal(spanId));
    headers.set("x-datadog-sampling-priority", bit(sampled));
  },
};

const GCP: Form = {
  read: (header) => {
    const match = /^([0-9a-f]{32})\/(\d{1,20})(?:;o=(\d))?$/i.exec(
      header("x-cloud-trace-context").trim(),
    );
    return match === null
      ? undefined
      : contextOf(match[1] ?? "", decimalToHex(match[2] ?? ""), told(match[3]));
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set(
      "x-cloud-trace-context",
      `${traceId}/${hexToDecimal(spanId)};o=${bit(sampled)}`,
    );
  },
};

const AWS: Form = {
  read: (header) => {
    const fields = new Map(
      header("x-amzn-trace-id")
        .split(";")
        .map((field) => {
          const [name = "", value = ""] = field.trim().split("=");
          return [name, value];
        }),
    );
    const root = /^1-([0-9a-f]{8})-([0-9a-f]{24})$/.exec(
      fields.get("Root") ?? "",
    );
    return root === null
      ? undefined
      : contextOf(
          `${root[1] ?? ""}${root[2] ?? ""}`,
          fields.get("Parent") ?? "",
          told(fields.get("Sampled")),
        );
  },
  write: ({ traceId, spanId, sampled }, headers) => {
    headers.set(
      "X-Amzn-Trace-Id",
      `Root=1-${traceId.slice(0, 8)}-${traceId.slice(8)};Parent=${spanId};Sampled=${bit(sampled)}`,
    );
  },
};

/** The forms in the order in which they are looked for. */
export const FORMS: ReadonlyMap<string, Form> = new Map([
  ["w3c", W3C],
  ["b3", B3],
  ["b3-single", B3_SINGLE],
  ["jaeger", JAEGER],
  ["ot", OT],
  ["datadog", DATADOG],
  ["aws", AWS],
  ["gcp", GCP],
]);

function decodeURIComponentSafe(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
