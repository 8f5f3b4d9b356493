/** The little of oidc-provider 9 that demo and tests use; it comes without types of its own. */
declare module "oidc-provider" {
  import type { IncomingMessage, ServerResponse } from "node:http";

  export interface Client {
    readonly clientId: string;
  }

  export interface Context {
    body: unknown;
    readonly oidc: {
      readonly client: Client;
      readonly params: Readonly<Record<string, string | undefined>>;
      entity(name: string, value: unknown): void;
    };
  }

  export interface Token {
    readonly accountId?: string;
    readonly clientId: string;
    readonly expiration: number;
    resourceServer: unknown;
    save(): Promise<string>;
  }

  export interface Jwt {
    readonly payload: Record<string, unknown>;
  }

  export class Provider {
    constructor(issuer: string, configuration: Readonly<Record<string, unknown>>);
    readonly Client: {
      find(id: string): Promise<Client & { backchannelLogout(subject: string, sid: string): Promise<void> }>;
    };
    readonly AccessToken: new (
      options: Readonly<Record<string, unknown>>,
    ) => Token;
    readonly ResourceServer: new (
      identifier: string,
      options: Readonly<Record<string, unknown>>,
    ) => unknown;
    registerGrantType(name: string, handler: (context: Context) => Promise<void>, parameters: readonly string[]): void;
    interactionFinished(
      request: IncomingMessage,
      response: ServerResponse,
      result: Readonly<Record<string, unknown>>,
      options?: Readonly<Record<string, unknown>>,
    ): Promise<void>;
    callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  }

  export const errors: {
    readonly InvalidGrant: new (description: string) => Error;
    readonly InvalidTarget: new () => Error;
  };
}

declare module "oidc-provider/lib/adapters/memory_adapter.js" {
  /** What providers that are given the same one know together. */
  export function createMemoryAdapter(): (model: string) => object;
}
