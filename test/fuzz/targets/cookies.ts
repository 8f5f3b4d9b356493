import { rotatedSealing } from "../../../agent/config/files/sealing-ring.ts";
import { Sealer } from "../../../agent/identity/session/sealer.ts";
import { type Session, SessionCookies } from "../../../agent/identity/session/session.ts";
import { cookiesIn, sessionIn, sessionLines } from "../../../agent/web/login/cookies.ts";
import { type Pending, PendingLogins } from "../../../agent/web/login/pending.ts";
import { mutatedText } from "../mutate.ts";
import type { Random } from "../random.ts";
import { hold, type Target } from "../target.ts";

const COOKIE = "__Host-countersign";
const RING = rotatedSealing([], 0, 0);
const WHOSE = { name: "idp", issuer: "https://idp.example", login: { client: { id: "countersign" } } };
const SESSIONS = new SessionCookies({
  ...{ origins: [], cookie: COOKIE, keys: "", ring: RING, idle: 0, lifetime: 0, largest: 8192 },
});
const PENDINGS = new PendingLogins(new Sealer(RING), COOKIE, "app.example.com");
const NOW = 1_000_000;

const sessionOf = (groups: number): Session => ({
  ...{ id: "id", host: "app.example.com", begunAt: 0, endsAt: NOW, scopes: [] },
  claims: { sub: "alice", groups: Array.from({ length: groups }, (_, n) => `a-group-with-a-name-of-its-own-${n}`) },
});
const PENDING: Pending = {
  ...{ state: "s", nonce: "n", verifier: "v", issuer: "idp", returnTo: "/a", begunAt: NOW, doneAt: 0 },
};
/** The pairs of browsers that have a session, a large one in two, and a login under way. */
const [SMALL, LARGE] = [1, 150].map((groups) => {
  const sealed = SESSIONS.seal(sessionOf(groups), WHOSE, NOW);
  const lines = [...(sessionLines(COOKIE, sealed, 8192) ?? []), PENDINGS.write([PENDING], NOW)];
  return { sealed, header: lines.map((line) => line.slice(0, line.indexOf(";"))).join("; ") };
}) as [Made, Made];
const WORDS = [
  COOKIE,
  `${COOKIE}-more=`,
  `${COOKIE}-login=`,
  "; ",
  "=",
  "~",
  "idp~",
  ".",
  "-1",
  "9999999",
  RING[0]?.kid ?? "",
];

interface Made {
  readonly sealed: string;
  readonly header: string;
}

/** Nothing but signs, of any length up to the largest head that HAProxy passes on by default. */
function noise(random: Random): string {
  const length = random.below(2 ** random.below(15));
  const before = random.once(2) ? "" : `${COOKIE}${random.pick(["", "-more", "-login"])}=${random.pick(["", "idp~"])}`;
  return before + random.bytes(length).toString(random.pick(["latin1", "base64url", "hex"] as const));
}

export const COOKIES: Target = {
  name: "cookies",
  oracle:
    "Cookies of browsers: a session is opened from the very text that was sealed, whole, and from no other; so is a login under way; whatever else stands there, of any length, is none",
  tested: 10_000,
  share: 500,
  reaches: ["a session", "a login", "neither"],
  open: () => ({
    input(random) {
      if (random.once(4)) return Buffer.from(noise(random), "latin1");
      const { header } = random.once(4) ? LARGE : SMALL;
      return Buffer.from(random.once(20) ? header : mutatedText(header, random, { words: WORDS, most: 2 }), "latin1");
    },
    check(input) {
      const cookies = cookiesIn(input.toString("latin1"));
      const sealed = sessionIn(cookies, COOKIE);
      const known = [SMALL, LARGE].some((each) => each.sealed === sealed);
      hold(
        (SESSIONS.open(sealed, WHOSE) !== undefined) === known,
        "what was not sealed is a session, or what was is none",
      );
      const pending = PENDINGS.read(cookies, NOW);
      const written = [SMALL, LARGE].some(({ header }) =>
        header.endsWith(`${COOKIE}-login=${PENDINGS.sealedIn(cookies)}`),
      );
      hold(pending.length === 0 || written, "what was not sealed is a login");
      hold(PENDINGS.begunBy(PENDINGS.sealedIn(cookies), NOW) === undefined, "a login's cookie is a state");
      hold(SESSIONS.openSeen(sealed, "id") === undefined, "a session's cookie says when it was seen");
      return known ? "a session" : pending.length > 0 ? "a login" : "neither";
    },
  }),
};
