import type { Linker } from "./linker.ts";

/** Authorities are what they are. */
export const authorityLinker: Linker<"ca_certificate"> = {
  link: ({ cert }) => cert,
};

/** So are certificates. */
export const certificateLinker: Linker<"certificate"> = {
  link: ({ identities }) => identities,
};

/** Server names are their certificate, for clients that ask for it. */
export const serverNameLinker: Linker<"sni"> = {
  names: ({ name }) => [
    {
      sort: "server name",
      name,
      unique: {
        field: "name",
        reason: `another certificate is for "${name}"`,
      },
    },
  ],
  link({ certificate }, at) {
    const identities = at.find.value("certificate", certificate);
    if (identities === undefined)
      at.dangling("certificate", "certificate", certificate);
    return identities;
  },
};
