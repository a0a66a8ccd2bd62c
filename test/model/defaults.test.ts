import { equals } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { ResourceSchema } from "../../src/gen/holdfast/config/v1/resource_pb.js";
import { fillDefaults, stripInputOutput } from "../../src/model/defaults.ts";
import { encodeResource } from "../../src/model/encode.ts";
import { resourceToJson } from "../../src/model/resource-json.ts";
import {
  arbitraryResource,
  resourceOf,
} from "../support/arbitrary-resource.ts";
import { CA_CERT } from "../support/certificates.ts";

// Random input takes its time on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

type Json = Parameters<typeof resourceOf>[0];

const filled = (json: Json): Json =>
  resourceToJson(fillDefaults(resourceOf(json)));

describe("filling defaults", () => {
  test("twice is the same as once", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: true }), (resource) => {
        const once = fillDefaults(resource);
        expect(equals(ResourceSchema, fillDefaults(once), once)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("leaves the resource it is given as it was", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: true }), (resource) => {
        const before = encodeResource(resource);
        fillDefaults(resource);
        stripInputOutput(resource);
        expect(encodeResource(resource)).toEqual(before);
      }),
    );
  });

  test("never throws, whatever the resource", () => {
    fc.assert(
      fc.property(arbitraryResource({ storable: false }), (resource) => {
        fillDefaults(resource);
      }),
      { numRuns: 200 },
    );
  });

  test("gives a service Kong's defaults", () => {
    expect(filled({ service: { host: "a" } })).toEqual({
      service: {
        protocol: "http",
        host: "a",
        port: 80,
        retries: 5,
        connect_timeout: 60000,
        write_timeout: 60000,
        read_timeout: 60000,
        enabled: true,
      },
    });
  });

  test("keeps what is given, zeros and false too", () => {
    const service = { host: "a", port: 0, retries: 0, enabled: false };
    expect(filled({ service })).toMatchObject({ service });
  });

  test("gives a route Kong's defaults; a gRPC route does not strip its path", () => {
    expect(filled({ route: { paths: ["/"] } })).toEqual({
      route: {
        protocols: ["http", "https"],
        paths: ["/"],
        https_redirect_status_code: 426,
        strip_path: true,
        path_handling: "v0",
        request_buffering: true,
        response_buffering: true,
      },
    });
    expect(filled({ route: { protocols: ["grpc"] } })).toMatchObject({
      route: { strip_path: false },
    });
  });

  test("fills nested messages, and lists when they are empty", () => {
    expect(
      filled({
        upstream: {
          name: "u",
          healthchecks: { active: { healthy: { http_statuses: [204] } } },
        },
      }),
    ).toMatchObject({
      upstream: {
        algorithm: "round-robin",
        slots: 10000,
        healthchecks: {
          active: {
            type: "http",
            timeout: 1,
            healthy: { http_statuses: [204] },
            unhealthy: {
              http_statuses: [429, 404, 500, 501, 502, 503, 504, 505],
            },
          },
          passive: { unhealthy: { http_statuses: [429, 500, 503] } },
        },
      },
    });
  });

  test("takes the shorthand url apart; it wins over the fields it stands for", () => {
    expect(
      filled({
        service: { url: "https://a.example/base", protocol: "http", port: 1 },
      }),
    ).toMatchObject({
      service: {
        protocol: "https",
        host: "a.example",
        port: 443,
        path: "/base",
      },
    });
    expect(
      filled({ service: { url: "http://[::1]:8080" } })["service"],
    ).toMatchObject({ protocol: "http", host: "::1", port: 8080 });
    expect(filled({ service: { url: "a.example" } })).toMatchObject({
      service: { url: "a.example" },
    });
  });

  test("writes ids in lower case, and a reference by id alone", () => {
    const id = "0855B320-0DD2-547D-891D-601E9B38647F";
    const lower = id.toLowerCase();
    expect(
      filled({ route: { id, service: { id, name: "ignored" } } }),
    ).toMatchObject({ route: { id: lower, service: { id: lower } } });
    expect(
      filled({ service: { host: "a", ca_certificates: [id] } }),
    ).toMatchObject({ service: { ca_certificates: [lower] } });
    expect(filled({ route: { service: { name: "Pay" } } })).toMatchObject({
      route: { service: { name: "Pay" } },
    });
  });

  test("settles an upstream's algorithm: hashing means consistent hashing, others hash nothing", () => {
    expect(filled({ upstream: { name: "u", hash_on: "ip" } })).toMatchObject({
      upstream: { algorithm: "consistent-hashing" },
    });
    for (const algorithm of ["least-connections", "latency"])
      expect(
        filled({ upstream: { name: "u", hash_on: "ip", algorithm } }),
      ).toMatchObject({ upstream: { algorithm, hash_on: "none" } });
  });

  test("gives targets their port and certificates of authorities their digest", () => {
    expect(filled({ target: { target: "A.example" } })).toMatchObject({
      target: { target: "a.example:8000", weight: 100 },
    });
    const { ca_certificate: ca } = filled({
      ca_certificate: { cert: CA_CERT },
    });
    expect(ca).toHaveProperty(
      "cert_digest",
      expect.stringMatching(/^[0-9a-f]{64}$/),
    );
  });

  test("writes out the configuration of a known plugin, and leaves that of another alone", () => {
    expect(
      filled({ plugin: { name: "key-auth", config: { keyInBody: true } } }),
    ).toMatchObject({
      plugin: {
        enabled: true,
        protocols: ["grpc", "grpcs", "http", "https"],
        config: {
          key_names: ["apikey"],
          key_in_header: true,
          key_in_body: true,
          hide_credentials: false,
        },
      },
    });
    expect(
      filled({ plugin: { name: "mine", config: { a: { b: [1] } } } }),
    ).toMatchObject({ plugin: { config: { a: { b: [1] } } } });
    expect(filled({ plugin: { name: "mine" } })).toMatchObject({
      plugin: { config: {} },
    });
  });
});

test("what is read from requests only, or filled in for answers, is not stored", () => {
  const stored = stripInputOutput(
    resourceOf({
      service: { host: "a", url: "x", created_at: 1, updated_at: 2 },
    }),
  );
  expect(resourceToJson(stored)).toEqual({ service: { host: "a" } });
  const certificate = stripInputOutput(
    resourceOf({ certificate: { cert: "c", snis: ["a"], tags: ["t"] } }),
  );
  expect(resourceToJson(certificate)).toEqual({
    certificate: { cert: "c", tags: ["t"] },
  });
});
