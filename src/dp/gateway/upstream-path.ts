/** How a service's path and a request's path are joined. */
export interface PathHandling {
  /** The service's path; empty for none. */
  readonly servicePath: string;
  /** Whether the matched part of the request's path is taken away. */
  readonly strip: boolean;
  /**
   * "v0" joins as segments of a path, with one slash; "v1" sets the texts side by side and merges slashes.
   */
  readonly version: "v0" | "v1";
}

/**
 * The path that goes upstream.
 *
 * @param path The request's normalised path, which is what the route was found by: what is checked is what is sent.
 * @param matched The part of it that the route's path matched.
 */
export function upstreamPath(
  path: string,
  matched: string,
  { servicePath, strip, version }: PathHandling,
): string {
  const base = servicePath === "" ? "/" : servicePath;
  const rest = strip ? defuse(path.slice(matched.length)) : path;
  if (version === "v1") return joinTexts(base, strip ? rest : rest.slice(1));
  return joinSegments(base, rest, path);
}

function joinTexts(base: string, rest: string): string {
  return (base + rest).replace(/\/{2,}/g, "/");
}

function joinSegments(base: string, rest: string, path: string): string {
  const stem = base.endsWith("/") ? base.slice(0, -1) : base;
  const tail = rest.startsWith("/") ? rest.slice(1) : rest;
  if (tail !== "") return `${stem}/${tail}`;
  // Nothing is left to add: a slash at the end of the request stays one, but "/" alone adds none.
  const slash =
    stem === "" || (path === "/" ? base.endsWith("/") : path.endsWith("/"));
  return slash ? `${stem}/` : stem;
}

/**
 * What is left of a path after its first part was taken away may begin with a dot segment that was part of a longer
 * one before ("/r" taken from "/r../secret"): it must not climb out of the service's path.
 */
function defuse(rest: string): string {
  return rest.replace(/^(\.{1,2}(\/|$))+/, "");
}
