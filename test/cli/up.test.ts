import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { commandLine } from "../../src/cli/up/command-line.ts";
import { checkPorts } from "../../src/cli/up/ports.ts";
import { ECHO_LISTEN, quickstartFile } from "../../src/cli/up/quickstart.ts";

test("the quick start's targets are where the echo upstreams listen", async () => {
  const { name, content } = await quickstartFile([
    "127.0.0.1:1111",
    "[::1]:2222",
  ]);
  expect(name).toBe("examples/quickstart.yml");
  expect(content).toContain('target: "127.0.0.1:1111"');
  for (const address of ECHO_LISTEN) expect(content).not.toContain(address);
  expect(parse(content)).toMatchObject({
    _format_version: "3.0",
    upstreams: [
      { targets: [{ target: "127.0.0.1:1111" }, { target: "[::1]:2222" }] },
    ],
  });
});

test("free ports can be listened on after they were checked, a taken one is named with its flag", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const free = {
    flag: "--admin-listen",
    listen: { host: "127.0.0.1", port: 0 },
  };
  const wanted = {
    flag: "--proxy-listen",
    listen: { host: "127.0.0.1", port },
  };
  await expect(checkPorts([free, wanted])).rejects.toThrow(
    `port ${port} is taken: something else listens on 127.0.0.1:${port} already. Choose another place with --proxy-listen HOST:PORT.`,
  );
  server.close();
  await once(server, "close");
  await checkPorts([free, wanted]);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  server.close();
});

test("the same port wanted twice is taken the second time", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  const listen = { host: "127.0.0.1", port };
  await expect(
    checkPorts([
      { flag: "--admin-listen", listen },
      { flag: "--sync-listen", listen },
    ]),
  ).rejects.toThrow("--sync-listen");
});

test("a command line is for the shell: short, quoted, with the node that is in the PATH", () => {
  const program = {
    execPath: process.execPath,
    args: ["--import", "a b.mjs", `${process.cwd()}/dist/cli/main.js`],
  };
  const folder = process.execPath.replace(/\/node$/, "");
  const argv = ["cp", "--data-dir", "it's", "--admin-listen", "127.0.0.1:1"];
  expect(commandLine(program, argv, { PATH: `/nowhere:${folder}` })).toBe(
    String.raw`node --import 'a b.mjs' dist/cli/main.js cp --data-dir 'it'\''s' --admin-listen 127.0.0.1:1`,
  );
  expect(commandLine(program, ["cp"], { PATH: "" })).toBe(
    `${process.execPath} --import 'a b.mjs' dist/cli/main.js cp`,
  );
});
