// urql 5 against the running binary.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { persistedExchange } from '@urql/exchange-persisted';
import { createClient as createSocket } from 'graphql-ws';
import { cacheExchange, Client, fetchExchange, gql, subscriptionExchange } from 'urql';

import { Arrivals, assertHeld, fetchFor, isHashAlone, patience, server, socketFor } from './client.js';

/** urql as a single-page app sets it up: subscriptions by socket, all else by HTTP. */
function open(visitor, ...before) {
  const { fetch, sent } = fetchFor(visitor);
  const socket = createSocket(socketFor(visitor));
  const client = new Client({
    url: server.http,
    fetch,
    preferGetMethod: false,
    exchanges: [
      ...before,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query, variables }) => ({
          subscribe: (sink) => ({ unsubscribe: socket.subscribe({ query, variables }, sink) }),
        }),
      }),
    ],
  });
  return { client, sent, close: () => socket.dispose() };
}

/** The data of an answer without errors. */
async function dataOf(answer) {
  const { data, error } = await answer;
  assert.equal(error?.message, undefined);
  return data;
}

test('urql 5: a query, then its answer from the document cache', { timeout: patience }, async () => {
  const { client, close, sent } = open(server.visitor(), cacheExchange);
  const query = gql`
    query Movies($first: Int!) {
      movies(first: $first, filter: { playing: true }) {
        nodes {
          id
          title
        }
      }
    }
  `;
  const first = await dataOf(client.query(query, { first: 3 }));
  assert.equal(first.movies.nodes.length, 3);
  assert.deepEqual(await dataOf(client.query(query, { first: 3 })), first);
  assert.equal(sent.length, 1, 'the second query is answered from the cache');
  await close();
});

test('urql 5: sign-up and reservation by mutation, seen by a subscription', { timeout: patience }, async () => {
  const visitor = server.visitor();
  const { client, close } = open(visitor);
  const { confirmSignUp } = await dataOf(
    client.mutation(
      gql`
        mutation ConfirmSignUp($input: ConfirmSignUpInput!) {
          confirmSignUp(input: $input) {
            ... on SessionPayload {
              token
            }
            ... on UserError {
              message
            }
          }
        }
      `,
      { input: await server.newAccount() },
    ),
  );
  assert.ok(confirmSignUp.token, confirmSignUp.message);
  visitor.token = confirmSignUp.token;

  const showtimeId = await server.showtime();
  const seatIds = await visitor.seatsFor(showtimeId, 2);
  const arrivals = new Arrivals();
  const watched = client
    .subscription(
      gql`
        subscription SeatMap($id: ID!) {
          seatMapChanged(showtimeId: $id) {
            __typename
            ... on SeatMapSnapshot {
              version
            }
            ... on SeatMapDelta {
              fromVersion
              changes {
                seatId
                state
              }
            }
          }
        }
      `,
      { id: showtimeId },
    )
    .subscribe(({ data, error }) => (error ? arrivals.fail(error) : arrivals.push(data.seatMapChanged)));
  const snapshot = await arrivals.next();
  assert.equal(snapshot.__typename, 'SeatMapSnapshot');

  const { reserveSeats } = await dataOf(
    client.mutation(
      gql`
        mutation Reserve($input: ReserveSeatsInput!) {
          reserveSeats(input: $input) {
            ... on ReserveSeatsPayload {
              reservation {
                status
              }
            }
            ... on UserError {
              message
            }
          }
        }
      `,
      { input: { showtimeId, seatIds, idempotencyKey: randomUUID() } },
    ),
  );
  assert.equal(reserveSeats.reservation?.status, 'HELD', reserveSeats.message);

  const delta = await arrivals.next();
  assertHeld(delta, snapshot, seatIds);
  watched.unsubscribe();
  await close();
});

test('urql 5: an automatic persisted query misses, is told the text, and hits', { timeout: patience }, async () => {
  const { client, close, sent } = open(server.visitor(), persistedExchange({ preferGetForPersistedQueries: true }));
  // A document that no other test sends: its hash cannot be known.
  const query = gql(`query Persisted${Date.now()} { genres { name } }`);
  const first = await dataOf(client.query(query, {}));
  const second = await dataOf(client.query(query, {}));
  assert.ok(first.genres.length > 0);
  assert.deepEqual(second, first);
  assert.deepEqual(sent.map(isHashAlone), [true, false, true]);
  assert.deepEqual(
    sent.map(({ method }) => method),
    ['GET', 'GET', 'GET'],
  );
  await close();
});
