import { test } from "tap";
import { RecentTokens } from "../../agent/identity/recent.ts";

const bytesOf = (bytes: Buffer) => ({ bytes, start: 0, end: bytes.length });
const buffer = (text: string) => bytesOf(Buffer.from(text));
/** In the middle of other bytes, as a token lies in a frame. */
const within = (text: string) => ({ bytes: Buffer.from(`xyz${text}xyz`), start: 3, end: 3 + text.length });

test("a token is found by all of its bytes, wherever they lie", (t) => {
  const recent = new RecentTokens<string>();
  const token = `${"a".repeat(301)}.signature`;
  recent.keep(within(token), "alice");
  t.equal(recent.find(buffer(token)), "alice");
  t.equal(recent.find(within(token)), "alice");
  for (let i = 0; i < token.length; i++) {
    const other = within(token);
    other.bytes[3 + i] = (other.bytes[3 + i] ?? 0) ^ 1;
    t.equal(recent.find(other), undefined, `another byte ${i}`);
  }
  for (const other of [token.slice(1), token.slice(0, -1), `${token}a`, `a${token}`, "", "a", "ab", "abcd"]) {
    t.equal(recent.find(within(other)), undefined, other);
  }
  t.end();
});

test("a token that is another one, and more of the same, is not that one", (t) => {
  const recent = new RecentTokens<string>();
  recent.keep(buffer("a".repeat(40)), "alice");
  for (const length of [24, 39, 41, 56]) t.equal(recent.find(within("a".repeat(length))), undefined, `${length}`);
  t.equal(recent.find(within("a".repeat(40))), "alice");
  t.end();
});

test("what was kept does not change with the bytes it was read from", (t) => {
  const recent = new RecentTokens<string>();
  const read = within("a-token-of-alice");
  recent.keep(read, "alice");
  read.bytes.fill("b");
  t.equal(recent.find(buffer("a-token-of-alice")), "alice");
  t.equal(recent.find(buffer("b".repeat(16))), undefined);
  t.end();
});

test("of a token in use the cache behind hears now and then", (t) => {
  const recent = new RecentTokens<string>();
  recent.keep(buffer("token"), "alice");
  const found = Array.from({ length: 640 }, () => recent.find(buffer("token")));
  t.equal(found.filter((value) => value === undefined).length, 10);
  t.equal(found.filter((value) => value === "alice").length, 630);
  t.end();
});

test("of more tokens than there is room for, each is found as itself or not at all", (t) => {
  const recent = new RecentTokens<number>();
  const tokens = Array.from({ length: 2_000 }, (_, i) => buffer(`header.payload.signature-${i}-of-${i * 7919}`));
  for (let round = 0; round < 20; round++) for (const [i, token] of tokens.entries()) recent.keep(token, i);
  const found = tokens.flatMap((token, i) => (recent.find(token) === undefined ? [] : [[i, recent.find(token)]]));
  t.ok(found.length > 50 && found.length <= 256, `${found.length} are found`);
  t.same(
    found.filter(([i, value]) => i !== value),
    [],
  );
  t.end();
});

test("a token that is too large is not kept", (t) => {
  const recent = new RecentTokens<string>();
  recent.keep(buffer("a".repeat(2049)), "alice");
  t.equal(recent.find(buffer("a".repeat(2049))), undefined);
  recent.keep(buffer("a".repeat(2048)), "alice");
  t.equal(recent.find(buffer("a".repeat(2048))), "alice");
  t.end();
});

test("a token whose value is over is let go of, and its place is free", (t) => {
  const recent = new RecentTokens<string>();
  recent.keep(buffer("a-token-of-alice"), "alice");
  recent.keep(buffer("and-one-of-bob-1"), "bob");
  t.equal(
    recent.forget((value) => value === "alice"),
    true,
  );
  t.equal(recent.find(buffer("a-token-of-alice")), undefined);
  t.equal(recent.find(buffer("and-one-of-bob-1")), "bob");
  recent.keep(buffer("a-token-of-alice"), "alice again");
  t.equal(recent.find(buffer("a-token-of-alice")), "alice again");
  t.equal(
    recent.forget(() => true),
    false,
  );
  t.equal(recent.find(buffer("and-one-of-bob-1")), undefined);
  t.end();
});
