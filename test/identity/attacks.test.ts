import { test } from "tap";
import { startFront } from "../../demo/front.ts";
import { oidcIssuer, startIdentity } from "../support/identity.ts";
import { ALGORITHM, CLAIMS, SIGNATURE, STRUCTURE } from "./attacks.ts";
import { newKit } from "./forge.ts";

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

  for (const [name, reason, token] of [...STRUCTURE, ...ALGORITHM, ...SIGNATURE, ...CLAIMS]) {
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

test("no claim refuses a token but those that prove something", async (t) => {
  const kit = await newKit("");
  const { identity, judge } = startIdentity([oidcIssuer(kit.provider.issuer)]);
  t.teardown(async () => {
    identity.close();
    await kit.provider.close();
  });
  await identity.ready();
  const odd = [null, true, 7, -1, "", "2026-11-25T12:00:00Z", [], [null], [[7]], {}, { sub: 7 }, { act: null }];
  const names = [
    "jti",
    "act",
    "may_act",
    "auth_time",
    "groups",
    "scope",
    "client_kind",
    "azp",
    "_claim_names",
    "hasgroups",
  ];
  for (const name of names) {
    for (const value of odd) {
      t.equal(await judge(await kit.signed({ [name]: value })), "proven", `${name}: ${JSON.stringify(value)}`);
    }
  }
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
