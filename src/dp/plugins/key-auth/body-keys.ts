/** How much of a body is looked at for a key. */
export const MAX_BODY_BYTES = 1024 * 1024;

/** Bodies of more parts than this are not looked at: each costs many times what it costs to send it. */
const MAX_PARTS = 1_000;

/** A body that can have keys in it, as its type says. */
export interface BodyKeys {
  /** The values of a field. */
  values(name: string): readonly string[];
  /** The body without a field. */
  without(name: string): Buffer;
}

/** Reads a body; undefined when it is not of a type that has fields, or not well-formed. */
export function readBodyKeys(
  contentType: string,
  body: Buffer,
): BodyKeys | undefined {
  const [type = ""] = contentType.split(";");
  switch (type.trim().toLowerCase()) {
    case "application/x-www-form-urlencoded":
      return hasTooMany(body, "&") ? undefined : formKeys(body);
    case "application/json":
      return jsonKeys(body);
    case "multipart/form-data":
      return multipartKeys(contentType, body);
    default:
      return undefined;
  }
}

/** A list of arguments ("a=1&b=2") without those of a name; all others stay as they were written. */
export function withoutArgument(list: string, name: string): string {
  return list
    .split("&")
    .filter((argument) => !new URLSearchParams(argument).has(name))
    .join("&");
}

/** Whether something occurs more often than a body has parts that is looked at. */
function hasTooMany(body: Buffer, mark: string): boolean {
  let count = 0;
  for (
    let at = body.indexOf(mark, 0, "latin1");
    at >= 0;
    at = body.indexOf(mark, at + mark.length, "latin1")
  )
    if (++count > MAX_PARTS) return true;
  return false;
}

function formKeys(body: Buffer): BodyKeys {
  const text = body.toString("latin1");
  const fields = new URLSearchParams(text);
  return {
    values: (name) => fields.getAll(name),
    without: (name) => Buffer.from(withoutArgument(text, name), "latin1"),
  };
}

function jsonKeys(body: Buffer): BodyKeys | undefined {
  let fields: unknown;
  try {
    fields = JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof fields !== "object" || fields === null || Array.isArray(fields))
    return undefined;
  const entries = Object.entries(fields);
  return {
    values: (name) =>
      entries.flatMap(([key, value]) =>
        key === name && typeof value === "string" ? [value] : [],
      ),
    without: (name) =>
      Buffer.from(
        JSON.stringify(
          Object.fromEntries(entries.filter(([key]) => key !== name)),
        ),
        "utf8",
      ),
  };
}

function multipartKeys(
  contentType: string,
  body: Buffer,
): BodyKeys | undefined {
  const boundary = /;\s*boundary=(?:"([^"]+)"|([^\s;]+))/i.exec(contentType);
  const mark = boundary?.[1] ?? boundary?.[2];
  if (mark === undefined || hasTooMany(body, `--${mark}`)) return undefined;
  // Bytes as characters, so that files pass through unchanged.
  const text = body.toString("latin1");
  const [preamble = "", ...parts] = `\r\n${text}`.split(`\r\n--${mark}`);
  const fields = parts.map((part) => ({ part, ...readPart(part) }));
  return {
    values: (name) =>
      fields.flatMap((field) =>
        field.name === name && !field.isFile ? [field.value] : [],
      ),
    without: (name) =>
      Buffer.from(
        [
          preamble,
          ...fields
            .filter((field) => field.name !== name)
            .map(({ part }) => part),
        ]
          .join(`\r\n--${mark}`)
          .slice(2),
        "latin1",
      ),
  };
}

function readPart(part: string): {
  readonly name: string | undefined;
  readonly isFile: boolean;
  readonly value: string;
} {
  const end = part.indexOf("\r\n\r\n");
  const head = part.slice(0, Math.max(end, 0));
  const disposition = /^content-disposition:(.*)$/im.exec(head)?.[1] ?? "";
  return {
    name: /;\s*name="([^"]*)"/i.exec(disposition)?.[1],
    isFile: /;\s*filename\*?=/i.test(disposition),
    value: Buffer.from(end < 0 ? "" : part.slice(end + 4), "latin1").toString(
      "utf8",
    ),
  };
}
