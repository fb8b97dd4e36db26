import { type Client, createClient, type FormattedExecutionResult, type Sink } from 'graphql-ws';

import { bearer, failure, type Operation, sessionEnded } from './api';
import type { Session } from './session';

/** The close code of a session that is over, or never was. */
const forbidden = 4403;

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
 * session changes, sockets that used it connect again, and their subscriptions begin anew as whoever is signed in then.
 */
export class Sockets {
  readonly #session: Session;
  readonly #clients = new Set<Client>();

  constructor(session: Session) {
    this.#session = session;
    let token = session.token;
    session.subscribe(() => {
      if (token !== session.token) {
        token = session.token;
        for (const client of this.#clients) {
          client.terminate();
        }
      }
    });
  }

  /** Starts a subscription, with `authorization` in place of the session's where it is given; the result stops it. */
  subscribe(operation: Operation, authorization: string | null, observer: Observer): () => void {
    let token: string | null = null;
    const client = createClient({
      url: socketEndpoint(),
      connectionParams: () => {
        token = this.#session.token;
        const credential = authorization ?? (token === null ? null : bearer(token));
        return credential === null ? {} : { Authorization: credential };
      },
      shouldRetry: (cause) => !(isCloseEvent(cause) && cause.code === forbidden),
    });
    if (authorization === null) {
      this.#clients.add(client);
    }
    const settle = () => {
      this.#clients.delete(client);
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
          if (isCloseEvent(cause) && cause.code === forbidden && authorization === null && token !== null) {
            this.#session.end(token, sessionEnded);
          }
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
