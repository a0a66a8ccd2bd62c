import { expect, test } from "vitest";
import { CA_CERT, EC_CERT, EC_KEY } from "../../support/certificates.ts";
import { problemsOf } from "../../support/problems.ts";

/** A text with the character at each place in turn replaced by another one. */
function* damaged(pem: string): Generator<string, void, undefined> {
  for (let at = 0; at < pem.length; at++)
    for (const other of ["A", "/"])
      yield pem.slice(0, at) + other + pem.slice(at + 1);
}

test("a certificate with any one character changed is refused or not, and never an error of ours", () => {
  let unreadable = 0;
  for (const cert of damaged(EC_CERT))
    for (const line of problemsOf({ certificate: { cert, key: EC_KEY } }))
      if (line.startsWith("cert: is damaged: its public key")) unreadable += 1;
  // Whole as a certificate, but the key in it is none.
  expect(unreadable).toBeGreaterThan(0);
  for (const cert of damaged(CA_CERT)) problemsOf({ ca_certificate: { cert } });
});
