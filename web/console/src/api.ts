import type { ExecutionResult } from 'graphql';

import type { Renewal } from './renewal';

/** One operation as the wire carries it. */
export interface Operation {
  readonly query: string;
  readonly variables?: unknown;
  readonly operationName?: string | null | undefined;
}

export type Answer<Data = Record<string, unknown>> = ExecutionResult<Data>;

export const sessionEnded = 'Your session has ended. Sign in again.';

/** The Authorization that a user typed into the header editor, which outranks the session's. */
export function typedAuthorization(headers: Record<string, unknown>): string | null {
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() === 'authorization' && typeof value === 'string') {
      return value;
    }
  }
  return null;
}

/** An error that GraphiQL shows as its sentence alone: the place in this script helps nobody. */
export function failure(message: string): Error {
  const error = new Error(message);
  delete error.stack;
  return error;
}

export function bearer(token: string): string {
  return `Bearer ${token}`;
}

/** Sends one operation, with a token when there is one. Rejects with a sentence when the server cannot be reached. */
export async function send(
  { query, variables, operationName }: Operation,
  headers: Record<string, unknown> = {},
  token: string | null = null,
): Promise<Response> {
  const all = new Headers({ Accept: 'application/graphql-response+json, application/json;q=0.9' });
  for (const [name, value] of Object.entries(headers)) {
    all.set(name, String(value));
  }
  all.set('Content-Type', 'application/json');
  if (token !== null) {
    all.set('Authorization', bearer(token));
  }
  return fetch('/graphql', {
    method: 'POST',
    headers: all,
    body: JSON.stringify({ query, variables, operationName }),
    cache: 'no-store',
    credentials: 'omit',
  }).catch(() => {
    throw failure('The server cannot be reached.');
  });
}

/** Reads the answer, GraphQL errors included. Rejects with a sentence when it is not GraphQL. */
export function receive<Data>(answer: Response): Promise<Answer<Data>> {
  return answer.json().catch(() => {
    throw failure(`The server's answer, ${answer.status} ${answer.statusText}, is not GraphQL.`);
  }) as Promise<Answer<Data>>;
}

/** The endpoint over HTTP, with the credential of a session. */
export class Api {
  readonly #renewal: Renewal;

  constructor(renewal: Renewal) {
    this.#renewal = renewal;
  }

  /**
   * Sends one query or mutation and returns the answer, GraphQL errors included. When the session's token is refused the
   * session is renewed, and the operation, of which nothing was carried out, sent once more. Rejects with a sentence when
   * the server cannot be reached or does not speak GraphQL.
   */
  async post<Data = Record<string, unknown>>(
    operation: Operation,
    headers: Record<string, unknown> = {},
  ): Promise<Answer<Data>> {
    const token = typedAuthorization(headers) === null ? await this.#renewal.token() : null;
    const answer = await send(operation, headers, token);
    if (answer.status === 401 && token !== null) {
      const next = await this.#renewal.token(token);
      if (next !== null) {
        return receive(await send(operation, headers, next));
      }
    }
    return receive(answer);
  }
}
