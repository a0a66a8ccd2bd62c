import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Problem } from "../problem.ts";

/** A plugin that Holdfast's own data plane can run. */
export interface KnownPlugin {
  readonly name: string;
  /** Of the feature "plugin/name". */
  readonly version: number;
  /** Its configuration's message. */
  readonly schema: DescMessage;
  /** Whether it may be limited to a consumer or a consumer group: not when it is what finds the consumer, or runs before that. */
  readonly perConsumer: boolean;
  /** Moves what was given by older names to the newer ones, in place, before defaults are filled. */
  readonly normalise?: (message: MessageShape<DescMessage>) => void;
  /** What is wrong with a configuration beyond the rules of its fields. Its field paths begin inside the configuration. */
  readonly problems?: (
    message: MessageShape<DescMessage>,
  ) => readonly Problem[];
  /** What of an accepted configuration may not do what was meant, with field paths of the same kind. */
  readonly notes?: (message: MessageShape<DescMessage>) => readonly Problem[];
}

/** Makes an entry from functions over its own message. */
export function definePluginModel<Desc extends DescMessage>(model: {
  readonly name: string;
  readonly version: number;
  readonly schema: Desc;
  readonly perConsumer: boolean;
  readonly normalise?: (message: MessageShape<Desc>) => void;
  readonly problems?: (message: MessageShape<Desc>) => readonly Problem[];
  readonly notes?: (message: MessageShape<Desc>) => readonly Problem[];
}): KnownPlugin {
  const { normalise, problems, notes, ...rest } = model;
  // Only messages of the entry's own schema are handed to it.
  const own = (message: MessageShape<DescMessage>): MessageShape<Desc> =>
    message as MessageShape<Desc>;
  return {
    ...rest,
    ...(normalise && {
      normalise: (message) => {
        normalise(own(message));
      },
    }),
    ...(problems && { problems: (message) => problems(own(message)) }),
    ...(notes && { notes: (message) => notes(own(message)) }),
  };
}
