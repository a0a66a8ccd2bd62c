import type { OpentelemetryConfig } from "../../../gen/holdfast/plugin/v1/opentelemetry_pb.js";
import type { Exchange } from "../plugin.ts";
import { FORMS, type TraceContext } from "./trace-headers.ts";

/** Reads the trace context of a request and writes the one that goes on. */
export interface Propagation {
  /** The context and the form in which it came; undefined for none. */
  extract(
    exchange: Exchange,
  ): { readonly context: TraceContext; readonly form: string } | undefined;
  /** Writes the context into the request that goes upstream. `form`: the one in which it came, if it did. */
  inject(
    exchange: Exchange,
    context: Required<TraceContext>,
    form: string | undefined,
  ): void;
}

/** How a configuration wants trace contexts to be passed on. */
export function propagationOf({
  headerType = "preserve",
  propagation,
}: OpentelemetryConfig): Propagation {
  const given = propagation?.extract ?? [];
  const injected = propagation?.inject ?? [];
  const fallback = propagation?.defaultFormat ?? "w3c";
  const modern =
    given.length > 0 || injected.length > 0 || propagation?.clear.length;
  // With header_type "ignore" what comes in counts for nothing; the other types look for every form, their own first.
  const extract = modern
    ? given.flatMap((form) => (form === "b3" ? ["b3", "b3-single"] : [form]))
    : headerType === "ignore"
      ? []
      : [...new Set([headerType, ...FORMS.keys()])];
  const inject = injected.length > 0 ? injected : modern ? [] : [headerType];
  return {
    extract: ({ upstream }) => {
      const header = (name: string): string =>
        upstream.headers.get(name)[0] ?? "";
      for (const form of extract) {
        const context = FORMS.get(form)?.read(header);
        if (context !== undefined) return { context, form };
      }
      return undefined;
    },
    inject: ({ upstream }, context, form) => {
      for (const name of propagation?.clear ?? [])
        upstream.headers.delete(name);
      const forms = inject.flatMap((wanted) => {
        if (wanted === "preserve") return [form ?? fallback];
        if (wanted === "ignore") return [fallback];
        // A context of another form that stays would contradict the one that is written.
        return !modern && form !== undefined && form !== wanted
          ? [wanted, form]
          : [wanted];
      });
      for (const name of new Set(forms))
        FORMS.get(name)?.write(context, upstream.headers);
    },
  };
}
