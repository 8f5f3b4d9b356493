import { CONFIG_OPTION, type Command, type Context, JSON_OPTION, type Options, whichOf } from "../command.ts";
import { access } from "./access.ts";
import { exportDecisions } from "./export.ts";
import { init } from "./init.ts";
import { verify } from "./verify.ts";

export const AUDIT: Command = {
  usage:
    "audit init [--once] | verify [SEGMENT]... --key KEY [--from FILE] | export [SEGMENT]... [--from T] [--to T] [--format F] [--haproxy LOG]... [--output FILE] | access",
  summary: "an audit log that can be believed: its keys, whether it was altered, what is in it",
  help: `
init makes the key of each log, and says its public half: keep that, and now and then a checkpoint, where whoever runs the
agent cannot change it. verify needs neither the agent nor its key: it reads the segments of one log in their order, and
tells edited, deleted, inserted, duplicated, reordered, truncated, replayed and forked records, and keys that nobody has
vouched for. Exit code 1 where the log was altered. export writes the decisions of a time, with a manifest of what that is.
access lists who may do what under the policies of the configuration.
`,
  example: "countersign audit verify /var/lib/countersign/audit.log.* --key audit.pub --from checkpoint.txt",
  options: {
    once: { type: "boolean", help: "init: pass over a log that has begun, as where a pod starts again" },
    key: { type: "string", value: "KEY", help: "the log's first public key, as init has said it; a text or a file" },
    from: { type: "string", value: "FILE|T", help: "verify: a checkpoint that was kept; export: not before this time" },
    to: { type: "string", value: "T", help: "export: before this time" },
    format: { type: "string", value: "F", help: "export: json (default), csv, ocsf or cef" },
    haproxy: {
      type: "string",
      value: "LOG",
      multiple: true,
      help: "export: HAProxy's log of the same time, whose count the manifest then explains",
    },
    output: { type: "string", value: "FILE", help: "export: where to; its manifest goes beside it" },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 10_000],
  run: audit,
};

async function audit([what, ...rest]: readonly string[], options: Options, context: Context): Promise<number> {
  switch (what) {
    case "init":
      return init(rest, options, context);
    case "verify":
      return verify(rest, options, context);
    case "export":
      return exportDecisions(rest, options, context);
    case "access":
      return access(rest, options, context);
    default:
      throw whichOf("audit", "are init, verify, export and access", what);
  }
}
