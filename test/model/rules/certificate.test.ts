import type { JsonObject } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  CA_CERT,
  EC_CERT,
  EC_KEY,
  EC_PUBLIC_KEY,
  ENCRYPTED_KEY,
  RSA_CERT,
  RSA_KEY,
} from "../../support/certificates.ts";
import { lines, problemsOf } from "../../support/problems.ts";

const ID = "0855b320-0dd2-547d-891d-601e9b38647f";
const CONSUMER = { consumer: { id: "0855b320-0dd2-547d-891d-601e9b38647f" } };

describe("certificates and keys are refused", () => {
  test.each<[string, JsonObject]>([
    ["cert: is not a certificate in PEM", { cert: "x", key: EC_KEY }],
    ["key: is not a private key in PEM", { cert: EC_CERT, key: "x" }],
    ["key: is encrypted", { cert: EC_CERT, key: ENCRYPTED_KEY }],
    [
      "key: is not the private key of cert (CN=ec.example)",
      { cert: EC_CERT, key: RSA_KEY },
    ],
    ["cert: is damaged", { cert: EC_CERT.replace("MII", "MIX"), key: EC_KEY }],
    [
      "cert_alt: must have another type of key than cert; both have ec",
      { cert: EC_CERT, key: EC_KEY, cert_alt: EC_CERT, key_alt: EC_KEY },
    ],
    [
      "cert_alt and key_alt go together",
      { cert: EC_CERT, key: EC_KEY, cert_alt: RSA_CERT },
    ],
    ["snis[0]: must not have", { cert: EC_CERT, key: EC_KEY, snis: ["a:1"] }],
  ])("%s", (reason, certificate) => {
    expect(problemsOf({ certificate })).toEqual(lines(reason));
  });

  test("for an authority: another certificate, several, or a digest that is not theirs", () => {
    expect(problemsOf({ ca_certificate: { cert: EC_CERT } })).toEqual(
      lines("cert: is not the certificate of an authority (CN=ec.example)"),
    );
    expect(problemsOf({ ca_certificate: { cert: CA_CERT + CA_CERT } })).toEqual(
      lines("cert: must be a single certificate, got 2"),
    );
    expect(
      problemsOf({ ca_certificate: { cert: CA_CERT, cert_digest: "00" } }),
    ).toEqual(lines("cert_digest: must be "));
  });

  test("for an SNI that is no name of TLS", () => {
    expect(problemsOf({ sni: { name: "*", certificate: { id: ID } } })).toEqual(
      [],
    );
    for (const name of ["10.0.0.1", "a:1", "**", "a b"])
      expect(problemsOf({ sni: { name, certificate: { id: ID } } })).toEqual(
        lines("name: "),
      );
  });

  test.each<[string, JsonObject]>([
    ["secret: is required with algorithm HS256", {}],
    ["rsa_public_key: is required", { algorithm: "RS256" }],
    [
      "rsa_public_key: is not a public key in PEM",
      { algorithm: "RS256", rsa_public_key: "x" },
    ],
    [
      "rsa_public_key: is a private key",
      { algorithm: "RS256", rsa_public_key: RSA_KEY },
    ],
    [
      "must be a key of type rsa with algorithm RS256",
      { algorithm: "RS256", rsa_public_key: EC_PUBLIC_KEY },
    ],
    [
      "must be a key of type secp384r1",
      { algorithm: "ES384", rsa_public_key: EC_PUBLIC_KEY },
    ],
  ])("for a JWT secret: %s", (reason, fields) => {
    expect(
      problemsOf({ jwt_secret: { key: "k", ...CONSUMER, ...fields } }),
    ).toEqual(lines(reason));
  });
});
