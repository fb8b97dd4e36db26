// Relay's runtime against the running binary, with what relay-compiler made of clients/relay/operations.js.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { test } from 'node:test';

import { createClient } from 'graphql-ws';
import relay from 'relay-runtime';

import { Arrivals, assertHeld, fetchFor, patience, server, socketFor } from './client.js';

const require = createRequire(import.meta.url);
const artifact = (name) => require(`./relay/__generated__/operations${name}.graphql.js`);

function open(visitor) {
  const { fetch } = fetchFor(visitor);
  const socket = createClient(socketFor(visitor));
  const environment = new relay.Environment({
    store: new relay.Store(new relay.RecordSource()),
    network: relay.Network.create(
      async ({ text }, variables) => {
        const answer = await fetch(server.http, {
          method: 'POST',
          headers: { 'Content-Type': 'application/json', Accept: 'application/graphql-response+json' },
          body: JSON.stringify({ query: text, variables }),
        });
        return answer.json();
      },
      ({ text }, variables) => relay.Observable.create((sink) => socket.subscribe({ query: text, variables }, sink)),
    ),
  });
  return {
    environment,
    close: () => socket.dispose(),
    fetch: (query, variables) => relay.fetchQuery(environment, query, variables).toPromise(),
    commit: (mutation, variables) =>
      new Promise((resolve, reject) => {
        relay.commitMutation(environment, {
          mutation,
          variables,
          onCompleted: (data, errors) => (errors ? reject(new Error(JSON.stringify(errors))) : resolve(data)),
          onError: reject,
        });
      }),
  };
}

/** What the store holds for a fragment that a query spreads: owner is the query's answer. */
function read(environment, fragment, owner) {
  return environment.lookup(relay.getSingularSelector(fragment, owner)).data;
}

test('Relay: a connection is paged through by its cursors', { timeout: patience }, async () => {
  const { environment, fetch, close } = open(server.visitor());
  const owner = await fetch(artifact('MoviesQuery'), { first: 3 });
  const fragment = artifact('Movies_page');
  const { movies } = read(environment, fragment, owner);
  assert.equal(movies.edges.length, 3);
  assert.equal(movies.pageInfo.hasNextPage, true);

  await fetch(artifact('MoviesPageQuery'), { first: 3, after: movies.pageInfo.endCursor });
  const { movies: both } = read(environment, fragment, owner);
  assert.equal(new Set(both.edges.map(({ node }) => node.id)).size, 6, 'the pages are joined and share nothing');
  assert.deepEqual(both.edges.slice(0, 3), movies.edges);
  await close();
});

test('Relay: a thing is fetched again by its node id', { timeout: patience }, async () => {
  const { environment, fetch, close } = open(server.visitor());
  const id = await server.showtime();
  const { node } = await fetch(artifact('ShowtimeQuery'), { id });
  const fragment = artifact('Showtime_state');
  const before = read(environment, fragment, node.showtime);
  assert.equal(before.status, 'SCHEDULED');
  const { node: again } = await fetch(artifact('ShowtimeStateQuery'), { id });
  assert.deepEqual(read(environment, fragment, again), before);
  await close();
});

test('Relay: sign-up and reservation by mutation, seen by a subscription', { timeout: patience }, async () => {
  const visitor = server.visitor();
  const { environment, commit, close } = open(visitor);
  const { confirmSignUp } = await commit(artifact('ConfirmSignUpMutation'), { input: await server.newAccount() });
  assert.equal(confirmSignUp.__typename, 'SessionPayload');
  visitor.token = confirmSignUp.token;

  const showtimeId = await server.showtime();
  const seatIds = await visitor.seatsFor(showtimeId, 2);
  const arrivals = new Arrivals();
  const watched = relay.requestSubscription(environment, {
    subscription: artifact('SeatMapSubscription'),
    variables: { id: showtimeId },
    onNext: ({ seatMapChanged }) => arrivals.push(seatMapChanged),
    onError: arrivals.fail,
  });
  const snapshot = await arrivals.next();
  assert.equal(snapshot.__typename, 'SeatMapSnapshot');

  const { reserveSeats } = await commit(artifact('ReserveMutation'), {
    input: { showtimeId, seatIds, idempotencyKey: randomUUID() },
  });
  assert.equal(reserveSeats.reservation?.status, 'HELD', reserveSeats.message);

  const delta = await arrivals.next();
  assertHeld(delta, snapshot, seatIds);
  watched.dispose();
  await close();
});
