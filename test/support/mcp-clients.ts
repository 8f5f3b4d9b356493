import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { logIn, type Memory } from "../../demo/mcp/client.ts";

/** The clients that there are: of the older protocol, of the newer in both of its eras. */
export const CLIENTS = ["v1", "v2 legacy", "v2 auto"] as const;
export type ClientName = (typeof CLIENTS)[number];

/** What a client is about to do at the server. */
export interface Walk {
  /** Every request, `POST RS/notes 401`, where RS is HAProxy and AS the authorization server. */
  readonly asked: readonly string[];
  /** The scopes of each login. */
  readonly logins: readonly string[];
  /** Texts of what tools gave; of a failure the message. */
  readonly outcome: string;
}

/** An SDK's client of either version, as far as both are alike. */
export interface Either {
  connect(): Promise<void>;
  finish(callback: URLSearchParams): Promise<void>;
  tools(): Promise<readonly string[]>;
  use(tool: string): Promise<string>;
  close(): Promise<void>;
}

export type Fetch = (url: string | URL, init?: RequestInit) => Promise<Response>;

export function newClient(name: ClientName, url: string, memory: Memory, fetch: Fetch): Either {
  const options = { authProvider: memory, fetch };
  if (name === "v1") {
    const client = new OldClient({ name: "walker", version: "1.0.0" });
    const transport = new OldTransport(new URL(url), options as ConstructorParameters<typeof OldTransport>[1]);
    return {
      ...shared(client),
      connect: () => client.connect(transport as Parameters<typeof client.connect>[0]),
      finish: (callback) => transport.finishAuth(callback.get("code") ?? ""),
    };
  }
  const modes = name === "v2 auto" ? { versionNegotiation: { mode: "auto" as const } } : {};
  const client = new Client({ name: "walker", version: "1.0.0" }, modes);
  const transport = new StreamableHTTPClientTransport(new URL(url), options);
  return {
    ...shared(client),
    connect: () => client.connect(transport),
    finish: (callback) => transport.finishAuth(callback),
  };
}

function shared(client: Client | OldClient) {
  return {
    tools: async () => (await client.listTools()).tools.map(({ name }) => name),
    async use(tool: string) {
      const { content } = (await client.callTool({ name: tool, arguments: {} })) as { content: { text: string }[] };
      return content.map(({ text }) => text).join();
    },
    close: () => client.close(),
  };
}

/** A client that was given a URL and nothing else: it finds out where to get a token, its user logs in, it uses tools. */
export async function walk(name: ClientName, url: string, memory: Memory, ...tools: readonly string[]): Promise<Walk> {
  const asked: string[] = [];
  const logins: string[] = [];
  const underWay: Promise<unknown>[] = [];
  const told: Fetch = async (input, init) => {
    const { origin, pathname } = new URL(input);
    const at = asked.push("") - 1;
    const answer = fetch(input, init);
    underWay.push(answer);
    const response = await answer;
    asked[at] = `${init?.method ?? "GET"} ${url.startsWith(origin) ? "RS" : "AS"}${pathname} ${response.status}`;
    return response;
  };
  let client = newClient(name, url, memory, told);
  const again = async <T>(attempt: () => Promise<T>, renew: boolean): Promise<T> => {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Error && error.constructor.name === "UnauthorizedError") || memory.login === undefined)
        throw error;
      logins.push(memory.login.searchParams.get("scope") ?? "");
      await client.finish(await logIn(memory.login));
      memory.login = undefined;
      if (renew) client = newClient(name, url, memory, told);
      return await attempt();
    }
  };
  try {
    await again(() => client.connect(), true);
    const listed = await client.tools();
    const given: string[] = [];
    for (const tool of tools) given.push(await again(() => client.use(tool), false));
    // Older clients listen beside what they do, and closing would cut that off.
    await Promise.allSettled(underWay);
    return { asked, logins, outcome: [...listed, ...given].join(" ") };
  } catch (error) {
    return { asked, logins, outcome: (error as Error).message };
  } finally {
    await client.close();
  }
}
