/** Where a snapshot file is. */
export interface FallbackAddress {
  /** For messages: without a password or a token. */
  readonly shown: string;
  /** On a server. Absent: `shown` is a file's name. */
  readonly url?: string;
  /** What the server is told of who asks. */
  readonly authorization?: string;
}

/** Reads a file's name, or an http or https URL. What is wrong with it is told without what was given: it may hold a password. */
export function readFallbackAddress(source: string): FallbackAddress | string {
  const scheme = /^(?<scheme>[a-z][a-z0-9+.-]+):\//i.exec(source)?.groups?.[
    "scheme"
  ];
  if (scheme === undefined) return { shown: source };
  if (!/^https?:\/\/./i.test(source))
    return `"${scheme}:" is not supported: give a file's name, or an http or https URL, such as https://files.example/default.hfs`;
  if (!URL.canParse(source))
    return "it is no URL, such as https://files.example/default.hfs";
  const url = new URL(source);
  const { username, password } = url;
  let credentials: string;
  try {
    credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  } catch {
    return "its user or password has a % that is no escape: write %25";
  }
  // Nothing is fetched from a URL that has them.
  url.username = "";
  url.password = "";
  return {
    shown: withoutSecrets(url),
    url: url.href,
    ...(credentials === ":"
      ? {}
      : {
          authorization: `Basic ${Buffer.from(credentials).toString("base64")}`,
        }),
  };
}

/** Origin and path: a query may hold a token. */
export function withoutSecrets({
  protocol,
  host,
  pathname,
}: Pick<URL, "protocol" | "host" | "pathname">): string {
  return `${protocol}//${host}${pathname}`;
}
