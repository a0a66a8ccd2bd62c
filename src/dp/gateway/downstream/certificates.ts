/** A certificate with its key, both in PEM; the certificate may bring its chain. */
interface Identity {
  readonly cert: string;
  readonly key: string;
}

/** What proves a server: one identity, or two with different types of key. */
export type ServerIdentity = readonly Identity[];

/** Which identity a revision shows to whom. Names are in lower case; a wildcard stands for one label. */
export interface ServerNames {
  /** The identity of "a.example.com", "*.example.com", "example.*" or "*". */
  get(name: string): ServerIdentity | undefined;
}

/** The identity for the server name that a client asks for; undefined when the revision has none. */
export function identityFor(
  names: ServerNames,
  serverName: string,
): ServerIdentity | undefined {
  return (
    names.get(serverName) ??
    firstLabelWild(names, serverName) ??
    lastLabelWild(names, serverName) ??
    names.get("*")
  );
}

function firstLabelWild(
  names: ServerNames,
  name: string,
): ServerIdentity | undefined {
  const dot = name.indexOf(".");
  return dot < 0 ? undefined : names.get(`*${name.slice(dot)}`);
}

function lastLabelWild(
  names: ServerNames,
  name: string,
): ServerIdentity | undefined {
  const dot = name.lastIndexOf(".");
  return dot < 0 ? undefined : names.get(`${name.slice(0, dot + 1)}*`);
}
