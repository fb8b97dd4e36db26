// graphql-sse, the way for networks that break websockets, against the running binary: each operation in a request of
// its own.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';

import { createClient } from 'graphql-sse';

import { assertHeld, fetchFor, patience, server } from './client.js';

function open(visitor) {
  const { fetch } = fetchFor(visitor);
  return createClient({ url: server.http, fetchFn: fetch, retryAttempts: 0 });
}

/** The next result of an operation, without errors. */
async function next(results) {
  const { value, done } = await results.next();
  assert.equal(done, false);
  assert.equal(value.errors, undefined);
  return value.data;
}

/** The one result of an operation. */
async function only(results) {
  const data = await next(results);
  assert.equal((await results.next()).done, true);
  return data;
}

test('graphql-sse: a query and its end', { timeout: patience }, async () => {
  const client = open(server.visitor());
  const { genres } = await only(client.iterate({ query: '{ genres { name } }' }));
  assert.ok(genres.length > 0);
  client.dispose();
});

test('graphql-sse: an error is a result', { timeout: patience }, async () => {
  const client = open(server.visitor());
  const results = client.iterate({ query: '{ myReservations(first: 1) { nodes { id } } }' });
  const { value } = await results.next();
  assert.equal(value.errors[0].extensions.code, 'UNAUTHENTICATED');
  client.dispose();
});

test('graphql-sse: sign-up and reservation by mutation, seen by a subscription', { timeout: patience }, async () => {
  const visitor = server.visitor();
  const client = open(visitor);
  const { confirmSignUp } = await only(
    client.iterate({
      query: 'mutation ($input: ConfirmSignUpInput!) { confirmSignUp(input: $input) { ... on SessionPayload { token } } }',
      variables: { input: await server.newAccount() },
    }),
  );
  visitor.token = confirmSignUp.token;

  const showtimeId = await server.showtime();
  const seatIds = await visitor.seatsFor(showtimeId, 2);
  const events = client.iterate({
    query: `subscription ($id: ID!) {
      seatMapChanged(showtimeId: $id) {
        ... on SeatMapSnapshot { version }
        ... on SeatMapDelta { fromVersion changes { seatId state } }
      }
    }`,
    variables: { id: showtimeId },
  });
  const { seatMapChanged: snapshot } = await next(events);

  const { reserveSeats } = await only(
    client.iterate({
      query: `mutation ($input: ReserveSeatsInput!) {
        reserveSeats(input: $input) { ... on ReserveSeatsPayload { reservation { status } } ... on UserError { message } }
      }`,
      variables: { input: { showtimeId, seatIds, idempotencyKey: randomUUID() } },
    }),
  );
  assert.equal(reserveSeats.reservation?.status, 'HELD', reserveSeats.message);

  const { seatMapChanged: delta } = await next(events);
  assertHeld(delta, snapshot, seatIds);
  await events.return();
  client.dispose();
});
