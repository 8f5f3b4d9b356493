import type { SessionsConfig, StoreConfig } from "../config/config.ts";
import type { Whose } from "../identity/session/session.ts";
import { SessionStore, StoreUnavailable } from "../identity/session/store.ts";
import { StoredSessions } from "../identity/session/stored.ts";
import { EXIT } from "../processes/exit.ts";
import { loginSetup } from "../web/login/setup.ts";
import {
  CONFIG_OPTION,
  type Command,
  CommandError,
  type Context,
  JSON_OPTION,
  jsonText,
  loadOrFail,
  type Options,
  textOption,
  UsageError,
  whichOf,
} from "./command.ts";

/** Milliseconds that one answer of the store is waited for: nobody's request waits. */
const PATIENCE = 5_000;

export const SESSIONS: Command = {
  usage: "sessions revoke --subject S [--issuer NAME] | --issuer NAME | --all  [--config FILE] [--json]",
  summary: "sign people out everywhere",
  help: `
It ends sessions in the store that sessions.store names: all of a subject, as policies know it (principal.subject) or as
its provider does (the ID token's sub); all of an issuer; or all. Agents remember an opened session for at most 5 seconds.

Where there is no store, browsers keep their sessions, and nobody can end one by itself. Then an entry in the file that
\`revoked\` names ends those of a subject, and a new key ring in place of sessions.keys ends all.
`,
  example: `countersign sessions revoke --subject alice
countersign sessions revoke --issuer okta`,
  options: {
    subject: { type: "string", value: "S", help: "whose sessions end" },
    issuer: { type: "string", value: "NAME", help: "the issuer that they logged in at; default: each" },
    all: { type: "boolean", help: "all sessions of all people" },
    ...CONFIG_OPTION,
    ...JSON_OPTION,
  },
  positionals: [0, 1],
  run: async ([action = ""], options, context) => {
    if (action !== "revoke") throw whichOf("sessions", "is sessions revoke", action);
    return await revoke(options, context);
  },
};

/** Whose sessions are to end. */
interface Whom {
  readonly subject: string | undefined;
  readonly issuer: string | undefined;
}

async function revoke(options: Options, context: Context): Promise<number> {
  const whom = whomOf(options);
  const { config } = await loadOrFail(options, context);
  const setup = loginSetup(config);
  if (setup === undefined) throw new CommandError("nobody logs in: no issuer has `login`", EXIT.configuration);
  const issuers = setup.issuers.filter(({ name }) => whom.issuer === undefined || name === whom.issuer);
  const names = setup.issuers.map(({ name }) => name).join(", ");
  if (issuers.length === 0) {
    throw new CommandError(`people log in at no issuer ${whom.issuer}, but at ${names}`, EXIT.configuration);
  }
  const { store } = setup.sessions;
  if (store === undefined) {
    const remedy = withoutStore(whom, issuers, setup.sessions.keys, new Date(context.clock()));
    throw new CommandError(
      `browsers keep their sessions themselves: there is no sessions.store\n${remedy}`,
      EXIT.configuration,
    );
  }
  const ended = await endIn(setup.sessions, store, whom, issuers);
  context.out(options.json === true ? jsonText({ ended }) : `${ended} ${ended === 1 ? "session" : "sessions"} ended\n`);
  return EXIT.fine;
}

function whomOf(options: Options): Whom {
  const [subject, issuer] = [textOption(options, "subject"), textOption(options, "issuer")];
  if (subject === "" || issuer === "") throw new UsageError("--subject and --issuer are not empty");
  const some = subject !== undefined || issuer !== undefined;
  if (options.all === true && some) throw new UsageError("--all is everybody: without --subject and --issuer");
  if (options.all !== true && !some) throw new UsageError("whose sessions: --subject, --issuer or --all");
  return { subject, issuer };
}

/** A subject is what policies know somebody as, or what their provider does: often both are the same. */
async function endIn(
  sessions: SessionsConfig,
  config: StoreConfig,
  { subject }: Whom,
  issuers: readonly Whose[],
): Promise<number> {
  const store = new SessionStore({ ...config, timeout: PATIENCE });
  try {
    await store.ready();
    const stored = new StoredSessions(sessions, store);
    let ended = 0;
    for (const whose of issuers) {
      if (subject === undefined) ended += await stored.endAll(whose);
      else for (const mark of ["subject", "sub"] as const) ended += await stored.endMarked(mark, subject, whose);
    }
    return ended;
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    throw new CommandError("sessions.store does not answer: some may not have ended; try again", EXIT.bad);
  } finally {
    store.close();
  }
}

/** What does it where nothing knows which sessions there are. */
function withoutStore({ subject }: Whom, issuers: readonly Whose[], keys: string, now: Date): string {
  if (subject === undefined) {
    return `A new key ring ends all of them: remove ${keys}, and then\n  countersign keys rotate ${keys} --algorithm A256GCM`;
  }
  const time = `${now.toISOString().slice(0, 19)}Z`;
  const entries = issuers.map(
    ({ name }) => `  - { issuer: ${name}, subject: ${JSON.stringify(subject)}, issued_before: ${time} }`,
  );
  return `In the file that \`revoked\` names this ends them:\n${entries.join("\n")}`;
}
