/** As often as it takes until V8 remembers, at this place, where the method was found. */
const OFTEN = 100;

/**
 * Has V8 take `String.prototype` for an object in which methods are looked up. Where something is derived from String
 * before (ioredis has a `class … extends String`), V8 stores its methods so that compiled code no longer knows them:
 * `charCodeAt` takes ten times as long from then on in the whole thread, 0.6 us of a request with a known token, and
 * 10 us of one with a new token.
 */
function keepStringsFast(): void {
  for (let i = 0; i < OFTEN; i++) firstOf(Object("a"));
}

/** Of a String that is an object: a method of a plain one teaches V8 nothing of its prototype. */
function firstOf(text: string): number {
  return text.charCodeAt(0);
}

keepStringsFast();
