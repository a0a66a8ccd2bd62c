import type { Oauth2Credential } from "../../gen/holdfast/config/v1/consumer_pb.js";
import { show, type Problem } from "../problem.ts";

/** What is wrong with an OAuth 2.0 application beyond the rules of its single fields. */
export function oauth2CredentialProblems(
  credential: Oauth2Credential,
): Problem[] {
  const { clientSecret, clientType, redirectUris } = credential;
  return [
    ...(clientSecret === "" && clientType !== "public"
      ? [
          {
            field: "client_secret",
            reason: 'is required, unless client_type is "public"',
          },
        ]
      : []),
    ...redirectUris.flatMap((uri, i) =>
      isRedirectUri(uri)
        ? []
        : [
            {
              field: `redirect_uris[${i}]`,
              reason: `must be an absolute URI with a host and without a fragment, got ${show(uri)}`,
            },
          ],
    ),
  ];
}

function isRedirectUri(uri: string): boolean {
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#\s]+[^#\s]*$/.test(uri);
}
