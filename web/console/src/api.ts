import type { ExecutionResult } from 'graphql';

import type { Session } from './session';

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

/** The endpoint over HTTP, with the credential of a session. */
export class Api {
  readonly #session: Session;

  constructor(session: Session) {
    this.#session = session;
  }

  /**
   * Sends one query or mutation and returns the answer, GraphQL errors included. An answer that says that the session
   * is over ends it here too. Rejects with a sentence when the server cannot be reached or does not speak GraphQL.
   */
  async post<Data = Record<string, unknown>>(
    { query, variables, operationName }: Operation,
    headers: Record<string, unknown> = {},
  ): Promise<Answer<Data>> {
    const token = typedAuthorization(headers) === null ? this.#session.token : null;
    const send = new Headers({ Accept: 'application/graphql-response+json, application/json;q=0.9' });
    for (const [name, value] of Object.entries(headers)) {
      send.set(name, String(value));
    }
    send.set('Content-Type', 'application/json');
    if (token !== null) {
      send.set('Authorization', bearer(token));
    }
    const answer = await fetch('/graphql', {
      method: 'POST',
      headers: send,
      body: JSON.stringify({ query, variables, operationName }),
      cache: 'no-store',
      credentials: 'omit',
    }).catch(() => {
      throw failure('The server cannot be reached.');
    });
    if (answer.status === 401 && token !== null) {
      this.#session.end(token, sessionEnded);
    }
    return answer.json().catch(() => {
      throw failure(`The server's answer, ${answer.status} ${answer.statusText}, is not GraphQL.`);
    }) as Promise<Answer<Data>>;
  }
}
