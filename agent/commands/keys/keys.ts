import { nearest } from "../../../policies/source/validate.ts";
import {
  CONFIG_OPTION,
  type Command,
  type Context,
  JSON_OPTION,
  type Options,
  UsageError,
  whichOf,
} from "../command.ts";
import { createKey, listKeys, revokeKey } from "./api.ts";
import { AFTER, rotateKeys } from "./rotate.ts";

const ACTIONS: Readonly<Record<string, (id: string | undefined, options: Options, context: Context) => number>> = {
  create: createKey,
  list: listKeys,
  revoke: revokeKey,
};

export const KEYS: Command = {
  usage:
    "keys api create --subject S --kind K --expires T [--group G]... [--scope S]... [--audience A]... | list | revoke ID  [--issuer NAME] [--config FILE]; keys rotate FILE [--after T] [--algorithm A] [--json]",
  summary: "make, list and take back API keys; rotate the keys of the signed assertion and of sessions",
  help: `
It changes the file that the issuer of the type api-key names; a running agent sees the change within two seconds. A new
key is written to standard output, alone and once: the file has only its digest.

keys rotate adds a key to the key ring that assertion.keys names, or makes the ring. The new key is published at once,
and signs only when all who check assertions have had time to fetch it; the one before is published until its last
assertion has ended. With --algorithm A256GCM it is the ring that sessions.keys names: a new key seals when all agents
have it, and the one before opens for 30 days more, which is longer than any session lasts. While a new key waits for its time nothing is changed: a job may run this as often as it likes.
`,
  example: `countersign keys api create --subject billing-batch --kind workload --group Batch --expires 90d > billing.key
countersign keys api revoke Kx3fQ9aZ`,
  options: {
    issuer: { type: "string", value: "NAME", help: "the issuer; default: the only one of the type api-key" },
    subject: { type: "string", value: "S", help: "whom the key stands for" },
    kind: { type: "string", value: "K", help: "person, workload or agent" },
    expires: { type: "string", value: "T", help: "90d, 12h, 2027-06-01, 2027-06-01T12:00:00Z, or never" },
    group: { type: "string", value: "G", multiple: true, help: "a group of the subject; several times" },
    scope: { type: "string", value: "S", multiple: true, help: "a scope that the key has; several times" },
    audience: {
      type: "string",
      value: "A",
      multiple: true,
      help: "an audience it is for; default: all of the issuer's",
    },
    after: { type: "string", value: "T", help: `of rotate: how long a new key is only published; default: ${AFTER}` },
    algorithm: {
      type: "string",
      value: "A",
      help: "of rotate: ES256 or EdDSA, or A256GCM for sessions; default: that of the newest key, else ES256",
    },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 3],
  run: async ([what = "", action = "", id], options, context) => {
    if (what === "rotate" && action !== "") return rotateKeys(action, options, context);
    if (what === "rotate") throw new UsageError("keys rotate which FILE? The key ring is missing");
    if (what !== "api") throw whichOf("keys", "are keys api and keys rotate", what);
    if (action === "") throw whichOf("keys api", "are create, list and revoke");
    const act = Object.hasOwn(ACTIONS, action) ? ACTIONS[action] : undefined;
    if (act !== undefined) return act(id, options, context);
    const close = nearest(action, Object.keys(ACTIONS));
    throw new UsageError(
      `no keys api ${action}; ${close === undefined ? "create, list or revoke" : `did you mean ${close}?`}`,
    );
  },
};
