import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema } from "../gen/google/rpc/error_details_pb.js";
import { printable } from "./table.ts";

/** Lines for a person about a call to the control plane at `admin` that failed. */
export function describeRpcError(error: unknown, admin: string): string[] {
  const rpc = ConnectError.from(error);
  const unreachable = reasonOfNetwork(rpc);
  if (unreachable !== undefined) {
    return [
      `cannot reach the control plane at ${admin}: ${unreachable}.`,
      'Is it running? "holdfast up" or "holdfast cp" starts one, --admin names another.',
    ];
  }
  const code = codeText(rpc.code);
  if (rpc.code === Code.Unimplemented || isHtml(rpc)) {
    return [
      `what answers at ${admin} is no control plane of this version (${code}: ${printable(rpc.rawMessage)}). Is --admin right?`,
    ];
  }
  if (rpc.code === Code.DeadlineExceeded)
    return [`the control plane at ${admin} did not answer in time.`];

  const violations = rpc
    .findDetails(BadRequestSchema)
    .flatMap((detail) =>
      detail.fieldViolations.map(({ field, description }) =>
        printable(
          [field, description].filter((part) => part !== "").join(": "),
        ),
      ),
    );
  // The message repeats the first violations: said once, below.
  const [first = ""] = violations;
  const repeated =
    violations.length > 0 && printable(rpc.rawMessage).startsWith(first);
  if (repeated && violations.length === 1) return [`${code}: ${first}`];
  const headline = repeated
    ? `${violations.length} problems`
    : printable(rpc.rawMessage);
  return [
    `${code}: ${headline}`,
    ...violations.map((violation) => `  ${violation}`),
  ];
}

/** Whether a stream ended because its connection did, so that another one may go on. */
export function isConnectionLoss(error: unknown): boolean {
  const rpc = ConnectError.from(error);
  return (
    reasonOfNetwork(rpc) !== undefined ||
    [Code.Unavailable, Code.Aborted, Code.Canceled, Code.DataLoss].includes(
      rpc.code,
    ) ||
    // A stream that was cut between two messages: there is no end message.
    /EndStreamResponse|premature/i.test(rpc.rawMessage)
  );
}

/** `invalid_argument` as gRPC writes it. */
function codeText(code: Code): string {
  return Code[code]
    .replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase();
}

const NETWORK: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there (connection refused)",
  ECONNRESET: "the connection was cut",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its host name cannot be looked up",
  EHOSTUNREACH: "there is no way to that host",
  ENETUNREACH: "there is no way to that network",
  ETIMEDOUT: "it did not answer",
  EPIPE: "the connection was cut",
};

/** Why there was no answer at all; undefined when there was one. */
function reasonOfNetwork(error: ConnectError): string | undefined {
  let cause: unknown = error;
  for (let depth = 0; cause instanceof Error && depth < 8; depth++) {
    const code = "code" in cause ? cause.code : undefined;
    if (typeof code === "string") {
      const known = NETWORK[code];
      if (known !== undefined) return known;
      if (
        /^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|UNABLE_|SELF_|EPROTO|HPE_)/.test(code)
      )
        return `${cause.message} (${code})`;
    }
    // Node tries all addresses of a name and reports them together.
    cause =
      cause instanceof AggregateError
        ? (cause.errors[0] as unknown)
        : cause.cause;
  }
  return undefined;
}

function isHtml(error: ConnectError): boolean {
  return /^HTTP \d+|content-type/i.test(error.rawMessage);
}
