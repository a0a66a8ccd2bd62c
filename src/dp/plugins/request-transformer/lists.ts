import type { MutableHeaders } from "../plugin.ts";
import { argument, type Argument } from "./arguments.ts";
import type { Plan } from "./plan.ts";
import type { TemplateValues } from "./template.ts";

/** Headers that say where a message ends or belong to a connection: not for plugins to say. */
const FRAMING: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Changes headers by a plan. */
export function transformHeaders(
  headers: MutableHeaders,
  plan: Plan,
  values: TemplateValues,
): void {
  const free = (name: string): boolean => !FRAMING.has(name.toLowerCase());
  const isHost = (name: string): boolean => name.toLowerCase() === "host";
  const has = (name: string): boolean => headers.get(name).length > 0;
  for (const name of plan.remove)
    if (free(name) && !isHost(name)) headers.delete(name);
  for (const { name, value } of plan.rename) {
    const next = value(values).trim();
    if (!has(name) || !free(name) || !isName(next) || !free(next)) continue;
    const kept = headers.get(name);
    headers.delete(name);
    headers.set(next, ...kept);
  }
  for (const { name, value } of plan.replace)
    if (free(name) && (has(name) || isHost(name)))
      headers.set(name, value(values).trim());
  for (const { name, value } of plan.add)
    if (free(name) && isName(name) && !has(name) && !isHost(name))
      headers.set(name, value(values).trim());
  for (const { name, value } of plan.append)
    if (free(name) && isName(name) && !isHost(name))
      headers.append(name, value(values).trim());
}

function isName(name: string): boolean {
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
}

/** Changes arguments by a plan. */
export function transformArguments(
  args: readonly Argument[],
  plan: Plan,
  values: TemplateValues,
): Argument[] {
  let out = [...args];
  const has = (name: string): boolean => out.some((arg) => arg.name === name);
  const without = (name: string): Argument[] =>
    out.filter((arg) => arg.name !== name);
  for (const name of plan.remove) out = without(name);
  for (const { name, value } of plan.rename) {
    const next = value(values);
    if (next === name || !has(name)) continue;
    out = without(next).map((arg) =>
      arg.name === name ? argument(next, arg.value) : arg,
    );
  }
  for (const { name, value } of plan.replace) {
    const at = out.findIndex((arg) => arg.name === name);
    if (at < 0) continue;
    out = without(name);
    out.splice(at, 0, argument(name, value(values)));
  }
  for (const { name, value } of plan.add)
    if (!has(name)) out.push(argument(name, value(values)));
  for (const { name, value } of plan.append)
    out.push(argument(name, value(values)));
  return out;
}
