import { knownPlugin } from "../../src/model/plugins.ts";
import { CloseStack } from "../../src/runtime/close-stack.ts";
import type { ProxyLoad } from "../roles/proxy-load.ts";
import type { ProxyUpstream } from "../roles/proxy-upstream.ts";
import { Child } from "../support/child.ts";
import { TempDir } from "../support/temp-dir.ts";
import { makeKeyPair } from "../support/tls.ts";
import { Contenders, type Plan } from "./contenders.ts";

const ROUNDS = 5;
const ROUND_MS = 3_000;
const BODIES = [
  { name: "100 B", bytes: 100 },
  { name: "100 KB", bytes: 100_000 },
] as const;
const PLUGINS = ["key-auth", "rate-limiting", "cors"].filter(
  (name) => knownPlugin(name) !== undefined,
);

const PLANS: readonly Plan[] = [
  { routes: 1, plugins: [] },
  { routes: 1_000, plugins: [] },
  { routes: 100_000, plugins: [] },
  { routes: 1, plugins: PLUGINS },
  { routes: 1_000, plugins: PLUGINS },
  { routes: 100_000, plugins: PLUGINS },
  { routes: 1_000, plugins: [], forwarder: "http-proxy" },
];

/** What a request costs a proxy, in CPU of its process, beside other proxies in turn. */
export async function proxy(
  print: (text: string) => void,
  scale: number,
): Promise<void> {
  for (const { name, bytes } of BODIES) {
    print(`\n${name} bodies\n`);
    await compare(print, { bytes, scale, secure: false });
  }
  print("\n100 B bodies, clients come with TLS\n");
  await compare(print, { bytes: 100, scale, secure: true });
}

async function compare(
  print: (text: string) => void,
  {
    bytes,
    scale,
    secure,
  }: {
    readonly bytes: number;
    readonly scale: number;
    readonly secure: boolean;
  },
): Promise<void> {
  await using stack = new CloseStack();
  const directory = stack.use(await TempDir.make());
  const upstream = stack.use(
    await Child.start<ProxyUpstream>("proxy-upstream"),
  );
  const load = stack.use(await Child.start<ProxyLoad>("proxy-load"));
  const contenders = new Contenders({
    load,
    upstream: { port: await upstream.call("start", bytes), bodyBytes: bytes },
    rounds: ROUNDS,
    durationMs: ROUND_MS * scale,
    ...(secure ? { tls: await makeKeyPair(directory) } : {}),
  });
  if (secure) await contenders.compareGateway(SECURE);
  else {
    for (const plan of PLANS) await contenders.compareGateway(plan);
    await contenders.comparePeers(directory, print);
  }
  print(contenders.table());
}

const SECURE: Plan = { routes: 1_000, plugins: [], secure: true };
