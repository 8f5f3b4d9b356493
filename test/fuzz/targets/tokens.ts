import { createLocalJWKSet, jwtVerify } from "jose";
import { createIdentity } from "../../../agent/identity/identity.ts";
import { UNHEARD } from "../../../agent/identity/issuer/events.ts";
import type { Algorithm, RunningProvider } from "../../../demo/provider.ts";
import type { Kit } from "../../identity/forge.ts";
import { newTokens } from "../../identity/tokens.ts";
import { Clockwork } from "../../support/clockwork.ts";
import { oidcIssuer } from "../../support/identity.ts";
import { mutatedText } from "../mutate.ts";
import { hold, type Target } from "../target.ts";
import { ALGORITHMS, KEYS, NOW } from "./signing-keys.ts";

const ISSUER = "https://idp.example.com";
const CLAIMS = { iss: ISSUER, sub: "alice", aud: "api://orders", exp: NOW / 1000 + 600, iat: NOW / 1000 };

/** The kit that test/identity/tokens.ts makes tokens with, without a provider that would have to be asked. */
const KIT: Kit = {
  provider: { issuer: ISSUER } as RunningProvider,
  key: (algorithm: Algorithm) => KEYS[algorithm],
  claims: (changes = {}) => ({ ...CLAIMS, ...changes }),
  signed: () => Promise.reject(new Error("not used")),
  raw: () => "",
  trap: "https://trap.example",
};

const JWKS = {
  keys: ALGORITHMS.map((algorithm) => {
    const { kid, public: key } = KEYS[algorithm];
    return { ...key.export({ format: "jwk" }), kid };
  }),
};

/** What jose says of a token by the same expectations. */
async function isGoodToJose(token: string, keys: ReturnType<typeof createLocalJWKSet>): Promise<boolean> {
  const options = {
    issuer: ISSUER,
    audience: "api://orders",
    algorithms: [...ALGORITHMS],
    clockTolerance: 30,
    requiredClaims: ["iss", "sub", "aud", "exp"],
    currentDate: new Date(NOW),
  };
  return await jwtVerify(token, keys, options).then(
    ({ protectedHeader: { typ = "JWT" } }) => /^(?:application\/)?(?:at\+jwt|jwt)$/i.test(String(typ)),
    () => false,
  );
}

export const TOKENS: Target = {
  name: "tokens",
  oracle:
    "Access tokens, signed and not, with odd headers, claims and spellings: whoever is proven by one is proven by it to the library jose with the same expectations; the same token is judged alike from the cache",
  tested: 1_200,
  share: 60,
  reaches: ["proven", "token-malformed", "signature-invalid", "claim-malformed", "token-expired"],
  async open() {
    const time = new Clockwork(NOW);
    const source = { document: JSON.stringify(JWKS) };
    const identity = createIdentity([oidcIssuer(ISSUER, { idTokens: "accept", keys: { source } })], {
      cache: { identities: 1000, lifetime: 300_000, refusals: 100 },
      limits: { token: 8192, fetches: 1 },
      send: () => Promise.reject(new Error("nobody is asked")),
      clock: time.clock,
      schedule: time.schedule,
      events: UNHEARD,
    });
    await identity.ready();
    const keys = createLocalJWKSet(JWKS);
    const judge = async (token: string) => {
      const { principal, reason = "proven" } = (await identity.verify(token, NOW)) as {
        principal: unknown;
        reason?: string;
      };
      return principal === undefined ? reason : "proven";
    };
    return {
      input(random) {
        const [{ token = "" } = {}] = newTokens(KIT, random.below, 1);
        return Buffer.from(
          random.once(12) ? mutatedText(token, random, { words: [".", "=", "ey", "_"], most: 2 }) : token,
        );
      },
      async check(input) {
        const token = input.toString("latin1");
        const word = await judge(token);
        hold((await judge(token)) === word, "judged otherwise the second time");
        hold(word !== "agent-error", "agent-error");
        if (word === "proven") hold(await isGoodToJose(token, keys), "proven, and not to jose");
        return word;
      },
      close: () => identity.close(),
    };
  },
};
