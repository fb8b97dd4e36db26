// Apollo Client 4 against the running binary.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { ApolloClient, ApolloLink, gql, HttpLink, InMemoryCache, ServerError } from '@apollo/client';
import { CombinedGraphQLErrors } from '@apollo/client/errors';
import { ErrorLink } from '@apollo/client/link/error';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { OperationTypeNode } from 'graphql';
import { createClient } from 'graphql-ws';
import { from, switchMap } from 'rxjs';

import { newEmail } from '../marquee.js';
import { Arrivals, assertHeld, fetchFor, isHashAlone, patience, server, socketFor } from './client.js';

/** Apollo as a single-page app sets it up: subscriptions by socket, all else by HTTP. */
function open(visitor, ...before) {
  const { fetch, sent } = fetchFor(visitor);
  const socket = createClient(socketFor(visitor));
  const http = ApolloLink.from([...before, new HttpLink({ uri: server.http, fetch })]);
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      new GraphQLWsLink(socket),
      http,
    ),
  });
  return {
    client,
    sent,
    async close() {
      client.stop();
      await socket.dispose();
    },
  };
}

const showtimes = gql`
  query Showtimes($first: Int!) {
    showtimes(first: $first) {
      nodes {
        id
        movie {
          id
          title
        }
      }
    }
  }
`;

test('Apollo Client 4: a query fills the normalised cache', { timeout: patience }, async () => {
  const { client, close, sent } = open(server.visitor());
  const { data } = await client.query({ query: showtimes, variables: { first: 3 } });
  assert.equal(data.showtimes.nodes.length, 3);
  const [{ movie }] = data.showtimes.nodes;
  const title = gql`
    fragment Title on Movie {
      title
    }
  `;
  assert.equal(client.readFragment({ id: `Movie:${movie.id}`, fragment: title }).title, movie.title);
  await client.query({ query: showtimes, variables: { first: 3 } });
  assert.equal(sent.length, 1, 'the second query is answered from the cache');
  await close();
});

test(
  'Apollo Client 4: sign-up and reservation by mutation, seen by a subscription',
  { timeout: patience },
  async () => {
    const visitor = server.visitor();
    const { client, close } = open(visitor);
    const signUp = await client.mutate({
      mutation: gql`
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
      variables: { input: await server.newAccount() },
    });
    assert.equal(signUp.data.confirmSignUp.__typename, 'SessionPayload');
    visitor.token = signUp.data.confirmSignUp.token;

    const showtimeId = await server.showtime();
    const seatIds = await visitor.seatsFor(showtimeId, 2);
    const arrivals = new Arrivals();
    const watched = client
      .subscribe({
        query: gql`
          subscription SeatMap($id: ID!) {
            seatMapChanged(showtimeId: $id) {
              ... on SeatMapSnapshot {
                version
                seatMap {
                  availableCount
                }
              }
              ... on SeatMapDelta {
                fromVersion
                version
                changes {
                  seatId
                  state
                }
              }
            }
          }
        `,
        variables: { id: showtimeId },
      })
      .subscribe(({ data, error }) => (error ? arrivals.fail(error) : arrivals.push(data.seatMapChanged)));
    const snapshot = await arrivals.next();
    assert.equal(snapshot.__typename, 'SeatMapSnapshot');

    const reserve = await client.mutate({
      mutation: gql`
        mutation Reserve($input: ReserveSeatsInput!) {
          reserveSeats(input: $input) {
            ... on ReserveSeatsPayload {
              reservation {
                id
                status
              }
            }
            ... on UserError {
              message
            }
          }
        }
      `,
      variables: { input: { showtimeId, seatIds, idempotencyKey: randomUUID() } },
    });
    assert.equal(reserve.data.reserveSeats.reservation.status, 'HELD');

    const delta = await arrivals.next();
    assertHeld(delta, snapshot, seatIds);
    watched.unsubscribe();
    await close();
  },
);

test(
  'Apollo Client 4: an automatic persisted query misses, is told the text, and hits',
  { timeout: patience },
  async () => {
    const sha256 = (text) => createHash('sha256').update(text).digest('hex');
    const { client, close, sent } = open(
      server.visitor(),
      new PersistedQueryLink({ sha256, useGETForHashedQueries: true }),
    );
    // A document that no other test sends: its hash cannot be known.
    const query = gql(`query Persisted${Date.now()} { genres { name } }`);
    const first = await client.query({ query, fetchPolicy: 'network-only' });
    const second = await client.query({ query, fetchPolicy: 'network-only' });
    assert.ok(first.data.genres.length > 0);
    assert.deepEqual(second.data, first.data);
    assert.deepEqual(sent.map(isHashAlone), [true, false, true]);
    assert.deepEqual(
      sent.map(({ method }) => method),
      ['GET', 'POST', 'GET'],
    );
    await close();
  },
);

test('Apollo Client 4: a token that is over is renewed, and the operation sent again', { timeout: patience }, async () => {
  const visitor = server.visitor();
  const { client, close, sent } = open(
    visitor,
    new ErrorLink(({ error, operation, forward }) => {
      const isOver =
        ServerError.is(error) ? error.statusCode === 401
        : CombinedGraphQLErrors.is(error) && error.errors[0].extensions.code === 'UNAUTHENTICATED';
      return isOver ? from(renew()).pipe(switchMap(() => forward(operation))) : undefined;
    }),
  );
  const email = newEmail();
  const signUp = await client.mutate({
    mutation: gql`
      mutation ConfirmSignUp($input: ConfirmSignUpInput!) {
        confirmSignUp(input: $input) {
          ... on SessionPayload {
            token
            refreshToken
          }
          ... on UserError {
            message
          }
        }
      }
    `,
    variables: { input: await server.newAccount(email) },
  });
  let { token, refreshToken } = signUp.data.confirmSignUp;

  /** Renews the session as somebody without an access token. */
  async function renew() {
    visitor.token = '';
    const { data } = await client.mutate({
      mutation: gql`
        mutation Renew($input: RefreshSessionInput!) {
          refreshSession(input: $input) {
            ... on SessionPayload {
              token
              refreshToken
            }
            ... on UserError {
              message
            }
          }
        }
      `,
      variables: { input: { refreshToken } },
    });
    assert.equal(data.refreshSession.__typename, 'SessionPayload', data.refreshSession.message);
    assert.notEqual(data.refreshSession.refreshToken, refreshToken);
    ({ token, refreshToken } = data.refreshSession);
    visitor.token = token;
  }

  visitor.token = `${token.slice(0, -8)}AAAAAAAA`; // its signature is of another
  const me = gql`
    query Me {
      me {
        id
        email
        sessions {
          id
          current
        }
      }
    }
  `;
  const { data } = await client.query({ query: me });
  assert.equal(data.me.email, email);
  assert.deepEqual(
    data.me.sessions.map(({ current }) => current),
    [true],
    'renewing made a session',
  );
  assert.deepEqual(
    sent.map(({ body }) => body.operationName),
    ['ConfirmSignUp', 'Me', 'Renew', 'Me'],
  );

  await visitor.signOut();
  visitor.token = '';
  const { data: after } = await client.mutate({
    mutation: gql`
      mutation RenewAfterSignOut($input: RefreshSessionInput!) {
        refreshSession(input: $input) {
          ... on SessionEnded {
            code
          }
        }
      }
    `,
    variables: { input: { refreshToken } },
  });
  assert.equal(after.refreshSession.code, 'SESSION_ENDED');
  await close();
});
