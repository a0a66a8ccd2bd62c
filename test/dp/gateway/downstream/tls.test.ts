import { once } from "node:events";
import { get as httpGet } from "node:http";
import { createServer as createHttpsServer, get as httpsGet } from "node:https";
import { connect as connectTls } from "node:tls";
import { describe, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import type { Resource } from "../../../../src/gen/holdfast/config/v1/resource_pb.js";
import { api } from "../../../support/api.ts";
import {
  EC_CERT,
  EC_KEY,
  RSA_CERT,
  RSA_KEY,
} from "../../../support/certificates.ts";
import { TestGateway } from "../../../support/gateway.ts";
import { id, resource } from "../../../support/resources.ts";
import { Http2Client, tlsConnection } from "../../../support/tls-gateway.ts";
import {
  CLIENT_CERT,
  CLIENT_KEY,
  SERVER_CERT,
  SERVER_KEY,
} from "../../../support/tls-chain.ts";
import { Upstream } from "../../../support/upstream.ts";

/** A certificate for these names. */
function certified(
  number: number,
  [cert, key]: readonly [string, string],
  ...names: string[]
): Resource[] {
  return [
    resource("certificate", { id: id(number), cert, key }),
    ...names.map((name, i) =>
      resource("sni", {
        id: id(100 * number + i),
        name,
        certificate: { id: id(number) },
      }),
    ),
  ];
}

const RSA = [RSA_CERT, RSA_KEY] as const;
const EC = [EC_CERT, EC_KEY] as const;
const SERVER = [SERVER_CERT, SERVER_KEY] as const;
const CLIENT = [CLIENT_CERT, CLIENT_KEY] as const;

async function shown(
  gateway: TestGateway,
  serverName?: string,
): Promise<string> {
  const { socket, subject } = await tlsConnection(gateway.tlsPort, serverName);
  socket.destroy();
  return subject;
}

describe("the certificate that a client is shown", () => {
  test("is that of the name it asks for: the name itself, else a wildcard for the first label, the last one, all", async () => {
    await using gateway = await TestGateway.startSecure([
      ...certified(10, RSA, "a.example", "exact.wild.example"),
      ...certified(11, EC, "*.wild.example"),
      ...certified(12, SERVER, "left.*"),
      ...certified(13, CLIENT, "*"),
    ]);
    expect(await shown(gateway, "a.example")).toBe("rsa.example");
    expect(await shown(gateway, "A.Example")).toBe("rsa.example");
    expect(await shown(gateway, "exact.wild.example")).toBe("rsa.example");
    expect(await shown(gateway, "other.wild.example")).toBe("ec.example");
    expect(await shown(gateway, "two.labels.wild.example")).toBe("client");
    expect(await shown(gateway, "left.anything")).toBe("server");
    expect(await shown(gateway, "unknown.test")).toBe("client");
    expect(await shown(gateway)).toBe("client");
  });

  test("is one of nobody's when there is none for it", async () => {
    await using gateway = await TestGateway.startSecure(
      certified(10, RSA, "a.example"),
    );
    expect(await shown(gateway, "unknown.test")).toBe("localhost");
    expect(await shown(gateway)).toBe("localhost");
  });

  test("has the type of key that the client can read, when there are two", async () => {
    await using gateway = await TestGateway.startSecure([
      resource("certificate", {
        id: id(10),
        cert: RSA_CERT,
        key: RSA_KEY,
        certAlt: EC_CERT,
        keyAlt: EC_KEY,
      }),
      resource("sni", {
        id: id(11),
        name: "a.example",
        certificate: { id: id(10) },
      }),
    ]);
    const names = new Set<string>();
    for (const ciphers of [
      "ECDHE-RSA-AES128-GCM-SHA256",
      "ECDHE-ECDSA-AES128-GCM-SHA256",
    ]) {
      const socket = connectTls({
        host: "127.0.0.1",
        port: gateway.tlsPort,
        servername: "a.example",
        rejectUnauthorized: false,
        maxVersion: "TLSv1.2",
        ciphers,
      });
      await once(socket, "secureConnect");
      names.add(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    }
    expect(names).toEqual(new Set(["rsa.example", "ec.example"]));
  });

  test("follows the configuration, and connections that are open stay", async () => {
    await using upstream = await Upstream.start();
    const base = api(upstream.port);
    await using gateway = await TestGateway.startSecure([
      ...base,
      ...certified(10, RSA, "a.example", "*"),
    ]);
    await using client = await Http2Client.secure(gateway.tlsPort, "a.example");
    const under = client.open("/api", { ":method": "POST" });
    await gateway.serve([...base, ...certified(11, EC, "a.example", "*")]);
    expect(await shown(gateway, "a.example")).toBe("ec.example");
    expect(await shown(gateway)).toBe("ec.example");
    await gateway.serve(base);
    expect(await shown(gateway)).toBe("localhost");
    under.end("x");
    expect((await once(under, "response"))[0]).toMatchObject({
      ":status": 200,
    });
    expect((await client.ask("/api")).status).toBe(200);
  });
});

describe("over TLS", () => {
  test("requests have the scheme https, and the server name chooses routes", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.startSecure([
      ...api(upstream.port, {
        route: { protocols: ["https"], snis: ["a.example"] },
      }),
    ]);
    await using named = await Http2Client.secure(gateway.tlsPort, "a.example");
    const answer = await named.ask("/api");
    expect(JSON.parse(answer.text)).toMatchObject({
      headers: { "x-forwarded-proto": "https" },
    });
    await using other = await Http2Client.secure(gateway.tlsPort, "b.example");
    expect((await other.ask("/api")).status).toBe(404);
    expect((await gateway.ask("/api")).status).toBe(426);
  });

  test("HTTP/1.1 is spoken with those who do not offer HTTP/2, and a connection serves many requests", async () => {
    await using upstream = await Upstream.start();
    await using gateway = await TestGateway.startSecure(api(upstream.port));
    const { socket } = await tlsConnection(gateway.tlsPort, "a.example");
    for (let i = 0; i < 3; i++) {
      socket.write("GET /api HTTP/1.1\r\nHost: a.example\r\n\r\n");
      const [text] = (await once(socket, "data")) as [Buffer];
      expect(text.toString("latin1")).toMatch(
        /^HTTP\/1\.1 200 [^]*"x-forwarded-proto":"https"/,
      );
    }
    socket.destroy();
  });

  test("a client that speaks clear text is cut off, and others are served", async () => {
    await using gateway = await TestGateway.startSecure();
    await expect(
      new Promise((resolve, reject) => {
        httpGet(
          { host: "127.0.0.1", port: gateway.tlsPort, agent: false },
          resolve,
        ).once("error", reject);
      }),
    ).rejects.toThrow();
    expect(await shown(gateway)).toBe("localhost");
  });

  test("a WebSocket passes, to an upstream over TLS as well", async () => {
    const server = createHttpsServer({ cert: SERVER_CERT, key: SERVER_KEY });
    const sockets = new WebSocketServer({ server });
    sockets.on("connection", (socket) =>
      socket.on("message", (data) => {
        socket.send(data);
      }),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port =
      typeof address === "object" && address !== null ? address.port : 0;
    await using gateway = await TestGateway.startSecure(
      api(port, { service: { protocol: "https" } }),
    );
    const client = new WebSocket(`wss://127.0.0.1:${gateway.tlsPort}/api`, {
      rejectUnauthorized: false,
    });
    await once(client, "open");
    client.send("x");
    expect(String((await once(client, "message"))[0])).toBe("x");
    client.terminate();
    for (const socket of sockets.clients) socket.terminate();
    server.close();
  });

  test("a stop lets a request end, tells the client to go elsewhere, and cuts who says nothing", async () => {
    let answer: () => void = () => undefined;
    await using upstream = await Upstream.start((_request, response) => {
      answer = () => response.end("late");
    });
    await using gateway = await TestGateway.startSecure(api(upstream.port), {
      graceMs: 5_000,
    });
    const silent = await tlsConnection(gateway.tlsPort);
    const got = new Promise<{ connection: string | undefined; text: string }>(
      (resolve, reject) => {
        httpsGet(
          {
            host: "127.0.0.1",
            port: gateway.tlsPort,
            path: "/api",
            rejectUnauthorized: false,
          },
          (response) => {
            response.once("data", (text) => {
              resolve({
                connection: response.headers.connection,
                text: String(text),
              });
            });
          },
        ).once("error", reject);
      },
    );
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (upstream.connections > 0) resolve();
        else setImmediate(look);
      };
      look();
    });
    const closed = gateway.gateway.close();
    await once(silent.socket, "close");
    answer();
    expect(await got).toEqual({ connection: "close", text: "late" });
    await closed;
  });
});
