/** Where the browser comes back to; nobody listens there, the client looks at the URL. */
export const CALLBACK = "http://127.0.0.1:9/callback";

/** What a client is called by its authorization server. */
interface Known {
  readonly client_id: string;
  readonly issuer?: string;
}

/** What an OAuth client of the SDKs remembers, in memory. The SDKs ask it, and it asks nobody. */
export class Memory {
  readonly redirectUrl = CALLBACK;
  readonly clientMetadata = {
    client_name: "a client that was never told of this server",
    redirect_uris: [CALLBACK],
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
  };
  /** Where the user is sent to log in; undefined where nobody was. */
  login: URL | undefined;
  /** Where its own document is, where the authorization server reads such (CIMD). */
  readonly clientMetadataUrl?: string;
  #client: Known | undefined;
  #tokens: { access_token: string; token_type: string } | undefined;
  #verifier = "";
  #discovery: unknown;

  /** @param client one that the authorization server knows; default: it registers itself, unless it has a document */
  constructor(client?: Known, clientMetadataUrl?: string) {
    this.#client = client;
    if (clientMetadataUrl !== undefined) this.clientMetadataUrl = clientMetadataUrl;
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client: Known) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens: { access_token: string; token_type: string }) {
    this.#tokens = tokens;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveCodeVerifier(verifier: string) {
    this.#verifier = verifier;
  }

  discoveryState() {
    return this.#discovery as undefined;
  }

  saveDiscoveryState(state: unknown) {
    this.#discovery = state;
  }

  redirectToAuthorization(url: URL) {
    this.login = url;
  }
}

/** Hops from the authorization server's first page to the callback, at most. */
const MOST_HOPS = 25;

/**
 * What a user does in a browser: logs in as alice, and agrees.
 *
 * @param callback where that ends
 * @returns the parameters of the callback
 * @throws Error where a page asks something else
 */
export async function logIn(from: URL, callback = CALLBACK): Promise<URLSearchParams> {
  const cookies = new Map<string, string>();
  let [url, form]: [URL, string | undefined] = [from, undefined];
  for (let hop = 0; hop < MOST_HOPS; hop++) {
    if (url.href.startsWith(callback)) return url.searchParams;
    const response = await visit(url, form, cookies);
    const location = response.headers.get("location");
    if (location === null) [url, form] = filledIn(await response.text(), url);
    else [url, form] = [new URL(location, url), undefined];
  }
  throw new Error("the login never ends");
}

function visit(url: URL, form: string | undefined, cookies: Map<string, string>): Promise<Response> {
  const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  const type = form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" };
  const asked = fetch(url, {
    redirect: "manual",
    headers: { cookie, ...type },
    ...(form !== undefined && { method: "POST", body: form }),
  });
  return asked.then((response) => {
    for (const set of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      cookies.set(name, value);
    }
    return response;
  });
}

function filledIn(page: string, at: URL): [URL, string] {
  const [, action] = /action="([^"]+)"/.exec(page) ?? [];
  const [, prompt] = /name="prompt" value="([^"]+)"/.exec(page) ?? [];
  if (action === undefined) throw new Error(`no form at ${at.pathname}`);
  return [new URL(action, at), prompt === "login" ? "prompt=login&login=alice&password=x" : "prompt=consent"];
}
