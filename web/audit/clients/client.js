// What the tests of all client libraries share: the server to talk to, and the fetch and the websocket they are given.
import assert from 'node:assert/strict';

import WebSocket from 'ws';

import { Endpoint } from '../marquee.js';

export const patience = 30_000; // for a test

/** The server that clients.js has started. */
export const server = new Endpoint(process.env.AUDIT_ADDRESS, process.env.AUDIT_OPS);

/** A fetch for a visitor, which remembers what was sent. */
export function fetchFor(visitor) {
  const sent = [];
  const send = async (url, options = {}) => {
    sent.push({
      method: options.method ?? 'GET',
      url: new URL(url),
      body: options.body ? JSON.parse(options.body) : {},
    });
    return fetch(url, { ...options, headers: { ...options.headers, ...visitor.headers } });
  };
  return { fetch: send, sent };
}

/** Options of graphql-ws for a visitor. */
export function socketFor(visitor) {
  return {
    url: server.socket,
    retryAttempts: 0,
    webSocketImpl: class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { headers: { 'X-Forwarded-For': visitor.address } });
      }
    },
    connectionParams: () => (visitor.token ? { Authorization: `Bearer ${visitor.token}` } : {}),
  };
}

/** Collects what arrives; next waits for what was not asked for yet, and fails when an error arrives first. */
export class Arrivals {
  #arrived = [];
  #waiting = [];

  push = (value) => this.#settle({ value });

  fail = (error) => this.#settle({ error });

  #settle(one) {
    this.#arrived.push(one);
    this.#waiting.shift()?.();
  }

  async next() {
    if (this.#arrived.length === 0) {
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
    const { value, error } = this.#arrived.shift();
    if (error) {
      throw error;
    }
    return value;
  }
}

/** Asserts that an event is the delta after a snapshot, by which these seats, and no others, are held. */
export function assertHeld(delta, snapshot, seatIds) {
  assert.equal(delta.fromVersion, snapshot.version);
  const states = Object.fromEntries(delta.changes.map(({ seatId, state }) => [seatId, state]));
  assert.deepEqual(states, Object.fromEntries(seatIds.map((id) => [id, 'HELD'])));
}

/** A request that carries a hash without a text. */
export function isHashAlone({ url, body }) {
  const extensions = body.extensions ?? JSON.parse(url.searchParams.get('extensions') ?? '{}');
  return Boolean(extensions.persistedQuery?.sha256Hash) && !(body.query ?? url.searchParams.get('query'));
}
