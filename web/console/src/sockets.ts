import { type Client, createClient, type FormattedExecutionResult, type Sink } from 'graphql-ws';

import { bearer, failure, type Operation, sessionEnded } from './api';
import type { Renewal } from './renewal';
import type { Session } from './session';

/** The close code of a token that is over, or never was one. */
const forbidden = 4403;

/** A socket of the session. */
interface Connection {
  readonly client: Client;
  /** What it was opened with: null for nobody signed in, undefined while it is being opened. */
  token: string | null | undefined;
}

export type Observer = Sink<FormattedExecutionResult<Record<string, unknown>, unknown>>;

/** The same endpoint as a websocket, encrypted exactly when the page is. */
function socketEndpoint(): string {
  const url = new URL('/graphql', window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/**
 * The endpoint over graphql-transport-ws, with the credential of a session. A browser cannot set headers on a
 * websocket, so the credential is the payload of `connection_init`. Each subscription has a socket of its own; when the
 * session changes or is renewed, sockets that used it connect again, and their subscriptions begin anew as whoever is
 * signed in then.
 */
export class Sockets {
  readonly #renewal: Renewal;
  readonly #connections = new Set<Connection>();

  constructor(session: Session, renewal: Renewal) {
    this.#renewal = renewal;
    session.subscribe(() => {
      for (const { client, token } of this.#connections) {
        if (token !== undefined && token !== session.token) {
          client.terminate();
        }
      }
    });
  }

  /** Starts a subscription, with `authorization` in place of the session's where it is given; the result stops it. */
  subscribe(operation: Operation, authorization: string | null, observer: Observer): () => void {
    let refused: string | null = null;
    let isOver = false;
    const client = createClient({
      url: socketEndpoint(),
      connectionParams: async () => {
        if (authorization !== null) {
          return { Authorization: authorization };
        }
        const before = refused;
        refused = null;
        connection.token = undefined;
        const token = await this.#renewal.token(before);
        if (token === null && before !== null) {
          isOver = true;
          throw failure(sessionEnded);
        }
        connection.token = token;
        return token === null ? {} : { Authorization: bearer(token) };
      },
      shouldRetry: (cause) => {
        if (!isCloseEvent(cause) || cause.code !== forbidden) {
          return !isOver;
        }
        // The token is over; the session may still give another.
        refused = connection.token ?? null;
        connection.token = undefined;
        return refused !== null;
      },
    });
    const connection: Connection = { client, token: undefined };
    if (authorization === null) {
      this.#connections.add(connection);
    }
    const settle = () => {
      this.#connections.delete(connection);
      void client.dispose();
    };
    const stop = client.subscribe(
      {
        query: operation.query,
        variables: operation.variables as Record<string, unknown> | undefined,
        operationName: operation.operationName,
      },
      {
        next: (event) => observer.next(event),
        error: (cause) => {
          settle();
          observer.error(isCloseEvent(cause) ? failure(saying(cause)) : cause);
        },
        complete: () => {
          settle();
          observer.complete();
        },
      },
    );
    return stop;
  }
}

function isCloseEvent(cause: unknown): cause is CloseEvent {
  return cause instanceof CloseEvent;
}

function saying({ code, reason }: CloseEvent): string {
  return reason === '' ? `The socket was closed (${code}).` : `The socket was closed: ${reason} (${code}).`;
}
