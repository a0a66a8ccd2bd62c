/** A type of content: "type/subtype" and its parameters, all in a form that can be compared. */
function normalised(contentType: string): string {
  const [type = "", ...parameters] = contentType.split(";");
  const pairs = parameters
    .map((parameter) => {
      const equals = parameter.indexOf("=");
      const name = parameter.slice(0, equals).trim().toLowerCase();
      const value = parameter.slice(equals + 1).trim();
      return `${name}=${value.replace(/^"(.*)"$/, "$1").toLowerCase()}`;
    })
    .filter((pair) => pair !== "=")
    .sort();
  return [type.trim().toLowerCase(), ...pairs].join(";");
}

/** Whether a type of content is one of these; "*" stands for any type or subtype. */
export function contentTypeMatcher(
  contentTypes: readonly string[],
): (contentType: string) => boolean {
  const patterns = contentTypes.map(normalised);
  return (contentType) => {
    const full = normalised(contentType);
    const [type = "", ...rest] = full.split(";");
    const [major = ""] = type.split("/");
    const tail = rest.length === 0 ? "" : `;${rest.join(";")}`;
    return [full, `${major}/*${tail}`, `*/*${tail}`].some((form) =>
      patterns.includes(form),
    );
  };
}
