/** A plugin that was asked for by name cannot be had. */
export class PluginModuleError extends Error {
  override readonly name = "PluginModuleError";

  /** @param plugin As it was asked for. */
  constructor(plugin: string, reason: string, cause?: unknown) {
    const because = cause instanceof Error ? `: ${cause.message}` : "";
    super(`--plugin ${plugin}: ${reason}${because}`, { cause });
  }
}
