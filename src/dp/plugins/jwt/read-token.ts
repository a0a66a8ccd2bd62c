/** What a token says, before anybody has looked whether it is true. */
export interface UnverifiedToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

const ALGORITHMS: ReadonlySet<unknown> = new Set([
  ...["HS", "RS", "ES", "PS"].flatMap((family) =>
    ["256", "384", "512"].map((bits) => family + bits),
  ),
  "EdDSA",
]);

/** Reads a signed token in its compact form, or says what is wrong with it. */
export function readToken(
  token: string,
):
  | { readonly ok: true; readonly token: UnverifiedToken }
  | { readonly ok: false; readonly reason: string } {
  const parts = token.split(".");
  const [header, claims] = parts.map(readPart);
  if (parts.length !== 3 || header === undefined || claims === undefined)
    return { ok: false, reason: "invalid JSON" };
  const { typ, alg } = header;
  const isJwt = typeof typ === "string" && typ.toUpperCase() === "JWT";
  if (typ !== undefined && !isJwt) return { ok: false, reason: "invalid typ" };
  // With "crit" a token demands that its reader understands more than this one does.
  if (!ALGORITHMS.has(alg) || header["crit"] !== undefined)
    return { ok: false, reason: "invalid alg" };
  return { ok: true, token: { header, claims } };
}

/** A part as an object; undefined when it is none. */
function readPart(part: string): Record<string, unknown> | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(part)) return undefined;
  try {
    const value: unknown = JSON.parse(
      Buffer.from(part, "base64url").toString("utf8"),
    );
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
