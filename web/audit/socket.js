// A websocket that sends whatever it is told to, and the verdict on what comes back.
import WebSocket from 'ws';

import { newAddress } from './marquee.js';

export const subprotocol = 'graphql-transport-ws';

// No case takes longer: the longest waits for the server's patience with a silent client, 10 s.
const patience = 25_000;

/** Rejects when a promise takes longer than every case may. */
export function inTime(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${what}`)), patience);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One connection, as raw as a client can be. */
export class Socket {
  #arrived = [];
  #waiting = [];
  #answered;

  constructor(server, { protocol = subprotocol, headers = {}, address = newAddress() } = {}) {
    this.ws = new WebSocket(server.socket, protocol, { headers: { 'X-Forwarded-For': address, ...headers } });
    this.#answered = new Promise((resolve) => {
      this.ws.on('open', () => resolve(101));
      this.ws.on('unexpected-response', (request, response) => {
        request.destroy();
        resolve(response.statusCode);
      });
    });
    this.ws.on('message', (data) => {
      const message = JSON.parse(data);
      if (message.type === 'ping') {
        this.send({ type: 'pong' }); // what every client does, at any time
        return;
      }
      this.#arrived.push(message);
      this.#waiting.shift()?.(this.#arrived.shift());
    });
    this.ws.on('error', () => {}); // a close follows
    this.ended = new Promise((resolve) => {
      this.ws.on('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  /** A connection that has been acknowledged. */
  static async acknowledged(server, options = {}) {
    const socket = new Socket(server, options);
    await socket.open();
    socket.send({
      type: 'connection_init',
      ...(options.token && { payload: { Authorization: `Bearer ${options.token}` } }),
    });
    const first = await socket.next();
    if (first.type !== 'connection_ack') {
      throw new Error(`connection_init was answered with ${JSON.stringify(first)}`);
    }
    return socket;
  }

  /** The status that the upgrade was answered with. */
  status() {
    return inTime(this.#answered, 'an answer to the upgrade');
  }

  async open() {
    const status = await this.status();
    if (status !== 101) {
      throw new Error(`the upgrade was answered with ${status}`);
    }
    return this;
  }

  send(message) {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message));
    return this;
  }

  subscribe(id, query, variables) {
    return this.send({ id, type: 'subscribe', payload: { query, variables } });
  }

  /** The next message, or how the connection was closed as a message of type close. */
  next() {
    if (this.#arrived.length > 0) {
      return Promise.resolve(this.#arrived.shift());
    }
    const message = new Promise((resolve) => this.#waiting.push(resolve));
    return inTime(Promise.race([message, this.ended.then((end) => ({ type: 'close', ...end }))]), 'a message');
  }

  /** Waits for the end and says how it was: "close 4401 Unauthorized". Messages before it are dropped. */
  async closed() {
    const { code, reason } = await inTime(this.ended, 'the server to close');
    return `close ${code} ${reason}`.trimEnd();
  }

  close() {
    this.ws.terminate();
  }
}
