import { createLocalJWKSet, jwtVerify } from "jose";
import { test } from "tap";
import { startFront } from "../../demo/front.ts";
import { seeded } from "../protocol/mutate.ts";
import { Clockwork } from "../support/clockwork.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { ALGORITHM, CLAIMS, ID_TOKENS, PURPOSE, SIGNATURE, STRUCTURE } from "./attacks.ts";
import { type Kit, newKit, text as segment } from "./forge.ts";
import { newTokens } from "./tokens.ts";

test("every attack on a token is refused for its reason", async (t) => {
  const trap = await startFront((_request, response) => response.end("{}"));
  const kit = await newKit(trap.url);
  const { identity, judge, time } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await Promise.all([kit.provider.close(), trap.close()]);
  });
  await identity.ready();
  t.equal(await judge(await kit.signed()), "proven", "the token that all attacks begin with is good");

  for (const [name, reason, token] of [...STRUCTURE, ...ALGORITHM, ...SIGNATURE, ...CLAIMS, ...PURPOSE]) {
    const text = await token(kit);
    t.equal(await judge(text), reason, name);
    t.equal(await judge(text), reason, `${name}, again`);
    const later = identity.verify(text, time.now + 1);
    t.not(later instanceof Promise, true, `${name} costs no check any more`);
  }
  t.same(trap.requests, [], "no address that a token named was asked");
  const fetches = kit.provider.front.requests.length;
  t.equal(fetches, 2, "unknown key ids asked the provider for nothing within the cool-down");
  t.equal(await judge(await kit.signed()), "proven", "and good tokens are good as before");
});

/** What jose says of a token, held to the same expectations. */
function oracleOf({ provider, key }: Kit, now: number) {
  const jwks = createLocalJWKSet({
    keys: (["RS256", "ES256", "EdDSA"] as const).map((algorithm) => {
      const { kid, public: publicKey } = key(algorithm);
      return { ...publicKey.export({ format: "jwk" }), kid };
    }),
  });
  const expected = {
    issuer: provider.issuer,
    audience: "api://orders",
    algorithms: ["RS256", "ES256", "EdDSA"],
    clockTolerance: 30,
    requiredClaims: ["iss", "sub", "aud", "exp"],
    currentDate: new Date(now),
  };
  return (token: string): Promise<string> =>
    Promise.any(
      // Either type will do, and an absent one counts as JWT.
      [{ typ: "at+jwt" }, { typ: "JWT" }, {}].map((typ) => jwtVerify(token, jwks, { ...expected, ...typ })),
    ).then(
      ({ protectedHeader: { typ = "JWT" } }) => (/^(?:application\/)?(?:at\+jwt|jwt)$/i.test(typ) ? "proven" : typ),
      ({ errors }: AggregateError) => String(errors[0]),
    );
}

test("whatever is accepted of attacks and mutations, jose accepts by the same expectations", async (t) => {
  const { random } = seeded(t);
  const kit = await newKit("https://trap.example");
  const time = new Clockwork(Math.floor(Date.now() / 1000) * 1000);
  const { identity, judge } = startIdentity([oidcIssuer(kit.provider.issuer, { idTokens: "accept" })], { time });
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const oracle = oracleOf(kit, time.now);
  t.equal(await oracle(await kit.signed()), "proven", "jose accepts what is good");
  const odd: string[] = [];
  const counts = { proven: 0, refused: 0 };
  const compare = async (name: string, token: string) => {
    const proven = (await judge(token)) === "proven";
    counts[proven ? "proven" : "refused"]++;
    if (proven && (await oracle(token)) !== "proven") odd.push(`${name}: ${await oracle(token)}: ${token}`);
  };
  for (const [name, , token] of [...STRUCTURE, ...ALGORITHM, ...SIGNATURE, ...CLAIMS, ...PURPOSE]) {
    await compare(name, await token(kit));
  }
  for (const { name, token } of newTokens(kit, random, 3_000)) await compare(name, token);
  t.strictSame(odd, []);
  t.comment(JSON.stringify(counts));
  t.ok(counts.proven > 200 && counts.refused > 1_000, "many of both");
});

test("no single character of a token can be changed", async (t) => {
  const kit = await newKit("");
  const { identity, judge } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const token = await kit.provider.sign(kit.claims(), {}, "EdDSA");
  const proven: number[] = [];
  for (let i = 0; i < token.length; i++) {
    for (const other of ["A", "z", "-", "."]) {
      if (other === token[i]) continue;
      if ((await judge(token.slice(0, i) + other + token.slice(i + 1))) === "proven") proven.push(i);
    }
    if ((await judge(token.slice(0, i) + token.slice(i + 1))) === "proven") proven.push(i);
  }
  t.same(proven, []);
});

test("how a token is read does not depend on what anybody has sent before it", async (t) => {
  const kit = await newKit("");
  const { identity, judge, verify } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const [name, written] = ["https://acme.example/contractor", "https:\\/\\/acme.example\\/contractor"];
  const others = JSON.stringify({ own: "members in an order of their own", ...kit.claims() }).slice(0, -1);
  // As JSON.parse of Node 26 has it, the name would be that of the other's claim, which begins with the same characters.
  const before = `${others},${JSON.stringify(written.slice(0, name.length))}:true}`;
  t.equal(await judge(`${segment('{"alg":"RS256"}')}.${segment(before)}.AAAA`), "signature-invalid");
  const { principal } = await verify(kit.raw(undefined, `${others},"${written}":true}`));
  t.equal(principal?.claims[name], true);
  const deeper = await verify(kit.raw(undefined, `${others},"\\u0061":{"\\n":1,"b\\"":[2,{}]}}`));
  t.strictSame(deeper.principal?.claims.a, { "\n": 1, 'b"': [2, {}] });
  t.equal(await judge(kit.raw(undefined, `${others},"__proto\\u005f_":{}}`)), "token-malformed");
});

test("a token is good for the one issuer that it names", async (t) => {
  const [one, two] = [await newKit(""), await newKit("")];
  const issuers = [oidcIssuer(one.provider.issuer, { name: "one" }), oidcIssuer(two.provider.issuer, { name: "two" })];
  const { identity, judge, verify } = startIdentity(issuers);
  t.teardown(async () => {
    identity.close();
    await Promise.all([one.provider.close(), two.provider.close()]);
  });
  await identity.ready();
  t.equal((await verify(await one.signed())).principal?.issuer, "one");
  t.equal((await verify(await two.signed())).principal?.issuer, "two");
  t.equal(await judge(await one.signed({ iss: two.provider.issuer })), "key-unknown", "signed by one, says two");
  t.equal(
    await judge(await one.signed({ iss: two.provider.issuer }, { kid: two.key("RS256").kid })),
    "signature-invalid",
  );
});

test("spellings of typ that RFC 7515 allows are accepted", async (t) => {
  const kit = await newKit("");
  const { identity, judge } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  for (const typ of ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt", "JWT", "jwt", undefined]) {
    t.equal(await judge(await kit.signed({}, { typ })), "proven", `${typ}`);
  }
  t.equal(await judge(await kit.signed({}, { kid: undefined })), "proven", "a token without kid has the key that fits");
  t.equal(
    await judge(await kit.signed({}, { zip: "DEF" })),
    "proven",
    "zip means nothing in a JWS, and inflates nothing",
  );
});

test("access tokens that have something of an ID token are none, and ID tokens pass where they are asked for", async (t) => {
  const kit = await newKit("");
  const issuer = oidcIssuer(kit.provider.issuer);
  const [strict, open] = [startIdentity([issuer]), startIdentity([{ ...issuer, idTokens: "accept" }])];
  t.teardown(async () => {
    for (const { identity } of [strict, open]) identity.close();
    await kit.provider.close();
  });
  await Promise.all([strict.identity.ready(), open.identity.ready()]);
  const JWT = { typ: "JWT" };
  for (const [name, claims, header] of [
    ["Keycloak's access token", { typ: "Bearer", azp: "spa" }, JWT],
    ["one of Keycloak before 25, for its own client", { typ: "Bearer", azp: "api://orders", nonce: "n" }, JWT],
    ["Cognito's access token", { token_use: "access", client_id: "spa" }, JWT],
    ["a nonce, and aud is not the client", { nonce: "n", azp: "spa" }, JWT],
    ["a nonce in an at+jwt (RFC 9068)", { nonce: "n", client_id: "api://orders" }, { typ: "at+jwt" }],
    ["another use of token_use", { token_use: "batch" }, JWT],
    ["marks that are null", { nonce: null, at_hash: null, events: null, typ: null }, JWT],
  ] as const) {
    t.equal(await strict.judge(await kit.signed(claims, header)), "proven", name);
  }
  for (const [name, claims] of ID_TOKENS) {
    const token = await kit.signed(claims, JWT);
    t.match(await strict.verify(token), { reason: "token-not-access", claim: Object.keys(claims)[0] }, name);
    t.equal(await open.judge(token), "proven", `${name}, where it is wanted`);
  }
  t.equal(await open.judge(await kit.signed({ typ: "Refresh" }, JWT)), "token-not-access", "no other kind is");
});

test("no claim refuses a token but those that prove something", async (t) => {
  const kit = await newKit("");
  const { identity, judge } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const odd = [null, true, 7, -1, "", "2026-11-25T12:00:00Z", [], [null], [[7]], {}, { sub: 7 }, { act: null }];
  const names = ["jti", "may_act", "auth_time", "groups", "scope", "client_kind", "azp", "_claim_names", "hasgroups"];
  for (const name of names) {
    for (const value of odd) {
      t.equal(await judge(await kit.signed({ [name]: value })), "proven", `${name}: ${JSON.stringify(value)}`);
    }
  }
  for (const act of odd.filter((each) => each !== null)) {
    t.equal(await judge(await kit.signed({ act })), "actor-malformed", `act: ${JSON.stringify(act)}`);
  }
  t.equal(await judge(await kit.signed({ act: null })), "proven", "act: null");
  for (const name of ["nbf", "iat"])
    t.equal(await judge(await kit.signed({ [name]: null })), "proven", `${name}: null`);
  const [proofs, bad] = [
    ["iss", "exp", "aud", "sub", "cnf"],
    [true, 7, [7], {}],
  ];
  for (const name of proofs) {
    for (const value of name === "exp" ? bad.filter((each) => each !== 7) : bad) {
      t.match(
        await judge(await kit.signed({ [name]: value })),
        /^(claim|proof|issuer|audience)-/,
        `${name}: ${JSON.stringify(value)}`,
      );
    }
  }
});
