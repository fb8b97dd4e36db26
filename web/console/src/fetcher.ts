import { createGraphiQLFetcher, type Fetcher } from '@graphiql/toolkit';
import { createClient } from 'graphql-ws';

const httpEndpoint = '/graphql';

/** The same endpoint as a websocket, encrypted exactly when the page is. */
function socketEndpoint(): string {
  const url = new URL(httpEndpoint, window.location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  return url.href;
}

/**
 * A browser cannot set headers on a websocket, so the credential of the header editor travels as
 * the payload of `connection_init`, under the one spelling the server reads. The other headers
 * mean nothing there and stay behind.
 */
function connectionParams(headers: Record<string, unknown>): Record<string, unknown> {
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() === 'authorization') {
      return { Authorization: value };
    }
  }
  return {};
}

/**
 * Sends queries and mutations by POST and subscriptions over graphql-transport-ws. A socket client
 * opens its connection with its first subscription and closes it with the last; one per run makes
 * each subscription use the credential that the header editor shows.
 */
export const fetcher: Fetcher = (params, options) => {
  const send = createGraphiQLFetcher({
    url: httpEndpoint,
    wsClient: createClient({
      url: socketEndpoint(),
      connectionParams: connectionParams(options?.headers ?? {}),
    }),
    enableIncrementalDelivery: false,
  });
  return send(params, options);
};
