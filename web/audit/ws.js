// graphql-transport-ws: what graphql-ws sees of the running binary, and what raw frames that no library would send
// come to. Each case prints what was expected and what came.
import { performance } from 'node:perf_hooks';
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';

import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { allowedOrigin, newAddress, withMarquee } from './marquee.js';
import { inTime, Socket } from './socket.js';

const watch = `subscription ($id: ID!) {
  seatMapChanged(showtimeId: $id) {
    __typename
    ... on SeatMapSnapshot { version seatMap { stateLetters } }
    ... on SeatMapDelta { fromVersion version changes { seatId state } }
  }
}`;

// A snapshot of some hundred kilobytes for few points of cost, so that a handful of them fills what the kernel keeps for
// a reader who does not read.
const watchWidely = `subscription ($id: ID!) {
  seatMapChanged(showtimeId: $id) {
    ... on SeatMapSnapshot { seatMap { seats { seat { ${Array.from({ length: 55 }, (_, n) => `id${n}: id`).join(' ')} } } } }
    ... on SeatMapDelta { version changes { seatId state } }
  }
}`;

// The limits of the server that the cases cross.
const operationsPerSocket = 10;
const socketsPerUser = 20;
const socketsPerAddress = 256;

/** A client of graphql-ws for a visitor, which tells how its connection was closed. */
function connect(server, visitor, options = {}) {
  let tell;
  const closed = new Promise((resolve) => {
    tell = resolve;
  });
  const client = createClient({
    url: server.socket,
    webSocketImpl: class extends WebSocket {
      constructor(url, protocols) {
        super(url, protocols, { headers: { 'X-Forwarded-For': visitor.address } });
      }
    },
    connectionParams: () => (visitor.token ? { Authorization: `Bearer ${visitor.token}` } : {}),
    retryAttempts: 0,
    ...options,
    on: { closed: (event) => tell(`close ${event.code}`), ...options.on },
  });
  return { client, closed: () => inTime(closed, 'the server to close') };
}

/** The next event of a subscription of graphql-ws. */
async function event(events) {
  const { value, done } = await inTime(events.next(), 'an event');
  if (done || value.errors) {
    throw new Error(done ? 'the subscription is over' : JSON.stringify(value.errors));
  }
  return value.data.seatMapChanged;
}

const plain = [
  [
    'graphql-ws: subscription',
    'SeatMapSnapshot, then HELD, HELD in one delta that follows from it',
    async (server) => {
      const [customer, showtime] = [await server.customer(), await server.showtime()];
      const { client } = connect(server, server.visitor());
      const events = client.iterate({ query: watch, variables: { id: showtime } });
      const snapshot = await event(events);
      const seatIds = await customer.seatsFor(showtime, 2);
      await customer.reserve(showtime, seatIds);
      const delta = await event(events);
      await client.dispose();
      const same = seatIds.every((id) => delta.changes.some((change) => change.seatId === id));
      const follows = same && delta.fromVersion === snapshot.version && delta.version > delta.fromVersion;
      return (
        `${snapshot.__typename}, then ${delta.changes.map((change) => change.state).join(', ')} in one delta that ` +
        (follows ? 'follows from it' : 'does not follow')
      );
    },
  ],
  [
    'graphql-ws: query',
    'its data, then complete',
    async (server) => {
      const { client } = connect(server, server.visitor());
      const answers = client.iterate({ query: '{ me { id } genres { name } }' });
      const first = await inTime(answers.next(), 'an answer');
      const end = await inTime(answers.next(), 'the end');
      await client.dispose();
      return `${first.value?.data?.genres?.length > 0 ? 'its data' : JSON.stringify(first)}, then ${end.done ? 'complete' : 'more'}`;
    },
  ],
  [
    'graphql-ws: ping',
    'pong',
    async (server) => {
      let heard;
      const pong = new Promise((resolve) => {
        heard = resolve;
      });
      const { client } = connect(server, server.visitor(), {
        lazy: false,
        keepAlive: 50,
        on: { pong: () => heard('pong') },
      });
      const got = await inTime(pong, 'a pong');
      await client.dispose();
      return got;
    },
  ],

  ...Object.entries({
    'a foreign origin': 'https://evil.example',
    'the origin null': 'null',
    'an origin that begins like ours': `${allowedOrigin}.evil.example`,
    'an origin that ends like ours': allowedOrigin.replace('//', '//evil'),
  }).map(([name, origin]) => [
    `WS1 ${name}, with a valid cookie`,
    'status 403',
    async (server) => {
      const { token } = await server.customer();
      return `status ${await new Socket(server, { headers: { Origin: origin, Cookie: `__Host-marquee-session=${token}` } }).status()}`;
    },
  ]),
  [
    'WS1 the allowed origin and our own',
    'status 101, 101',
    async (server) => {
      const sockets = [allowedOrigin, `http://${server.address}`].map(
        (origin) => new Socket(server, { headers: { Origin: origin } }),
      );
      const got = await Promise.all(sockets.map((socket) => socket.status()));
      sockets.forEach((socket) => socket.close());
      return `status ${got.join(', ')}`;
    },
  ],

  [
    'WS2 subscribe before connection_init',
    'close 4401',
    async (server) => {
      const socket = await new Socket(server).open();
      return socket.subscribe('1', '{ genres { id } }').closed();
    },
  ],
  [
    'WS2 silence instead of connection_init',
    'close 4408',
    async (server) => (await new Socket(server).open()).closed(),
  ],
  [
    'WS2 a second connection_init',
    'close 4429',
    async (server) => (await Socket.acknowledged(server)).send({ type: 'connection_init' }).closed(),
  ],
  ...Object.entries({
    'no JSON': '{"type":',
    'JSON that is no message': '[]',
    'an unknown type': '{"type":"start","id":"1"}',
    'a payload that is no object': '{"type":"subscribe","id":"1","payload":"{ me }"}',
    'an operation without an id': '{"type":"subscribe","payload":{"query":"{ genres { id } }"}}',
  }).map(([name, text]) => [
    `WS2 ${name}`,
    'close 4400',
    async (server) => (await Socket.acknowledged(server)).send(text).closed(),
  ]),
  [
    'WS2 a binary frame',
    'close 4400',
    async (server) => {
      const socket = await Socket.acknowledged(server);
      socket.ws.send(Buffer.from('{"type":"ping"}'));
      return socket.closed();
    },
  ],
  [
    'WS2 the older subprotocol',
    'close 4406',
    async (server) => refusedSubprotocol(server, { 'Sec-WebSocket-Protocol': 'graphql-ws' }),
  ],
  ['WS2 no subprotocol', 'close 4406', async (server) => refusedSubprotocol(server, {})],
  [
    'WS2 a token of no session',
    'close 4403',
    async (server) => {
      const socket = await new Socket(server).open();
      return socket.send({ type: 'connection_init', payload: { Authorization: 'Bearer eyJ.no.token' } }).closed();
    },
  ],

  [
    'WS3 an id that is in use',
    'close 4409',
    async (server) => {
      const [socket, id] = [await Socket.acknowledged(server), await server.showtime()];
      await socket.subscribe('1', watch, { id }).next();
      return socket.subscribe('1', watch, { id }).closed();
    },
  ],
  [
    'WS3 an id that is free again',
    'next, next',
    async (server) => {
      const [socket, id] = [await Socket.acknowledged(server), await server.showtime()];
      const first = await socket.subscribe('1', watch, { id }).next();
      const second = await socket.send({ type: 'complete', id: '1' }).subscribe('1', watch, { id }).next();
      socket.close();
      return `${first.type}, ${second.type}`;
    },
  ],

  [
    `WS4 operation ${operationsPerSocket + 1} of a socket`,
    'error THROTTLED, and next after one was completed',
    async (server) => {
      const [socket, id] = [await Socket.acknowledged(server), await server.showtime()];
      for (let n = 1; n <= operationsPerSocket; n++) {
        const first = await socket.subscribe(`${n}`, watch, { id }).next();
        if (first.type !== 'next') {
          return `operation ${n}: ${JSON.stringify(first)}`;
        }
      }
      const beyond = await socket.subscribe('beyond', watch, { id }).next();
      const freed = await socket.send({ type: 'complete', id: '1' }).subscribe('freed', watch, { id }).next();
      socket.close();
      return `${beyond.type} ${beyond.payload?.[0]?.extensions?.code}, and ${freed.type} after one was completed`;
    },
  ],
  [
    'WS4 10,000 subscriptions at once',
    'close 1008',
    async (server) => {
      return flood(await Socket.acknowledged(server), (socket, n) => socket.subscribe(`${n}`, '{ genres { id } }'));
    },
  ],
  [
    `WS4 socket ${socketsPerUser + 1} of a user`,
    'close 1013',
    async (server) => {
      const { token } = await server.customer();
      const sockets = await Promise.all(
        Array.from({ length: socketsPerUser }, () => Socket.acknowledged(server, { token })),
      );
      const beyond = await new Socket(server).open();
      const got = await beyond
        .send({ type: 'connection_init', payload: { Authorization: `Bearer ${token}` } })
        .closed();
      sockets.forEach((socket) => socket.close());
      return got;
    },
  ],
  [
    `WS4 socket ${socketsPerAddress + 1} of an address`,
    'status 429',
    async (server) => {
      const address = newAddress();
      const sockets = Array.from({ length: socketsPerAddress }, () => new Socket(server, { address }));
      await Promise.all(sockets.map((socket) => socket.open()));
      const got = await new Socket(server, { address }).status();
      sockets.forEach((socket) => socket.close());
      return `status ${got}`;
    },
  ],

  [
    'WS5 a frame of 2 MB',
    'close 1009',
    async (server) => {
      const socket = await Socket.acknowledged(server);
      return socket.send(`{"type":"ping","payload":{"text":"${'x'.repeat(2 << 20)}"}}`).closed();
    },
  ],
  [
    'WS5 fragments without end',
    'close 1009',
    async (server) => {
      const socket = await Socket.acknowledged(server);
      return fragments(socket, 'x'.repeat(1 << 10));
    },
  ],
  [
    'WS5 empty fragments without end',
    'cut',
    async (server) => {
      const got = await fragments(await Socket.acknowledged(server), '');
      return got.startsWith('close 1006') || got.startsWith('close 1008') ? 'cut' : got;
    },
  ],
  [
    'WS5 10,000 pings at once',
    'close 1008',
    async (server) => {
      return flood(await Socket.acknowledged(server), (socket) => socket.ws.ping());
    },
  ],

  [
    'WS7 a session that ends mid-stream',
    'close 4403 within 5 s',
    async (server) => {
      const [customer, id] = [await server.customer(), await server.showtime()];
      const { client, closed } = connect(server, customer);
      const events = client.iterate({ query: watch, variables: { id } });
      await event(events);
      await customer.signOut();
      const since = performance.now();
      const [got] = await Promise.all([closed(), events.next().catch(() => {})]);
      return `${got} ${performance.now() - since < 5000 ? 'within 5 s' : 'late'}`;
    },
  ],

  [
    'WS8 a mutation over a socket',
    'error BAD_USER_INPUT, nothing reserved',
    async (server) => {
      const [customer, showtimeId] = [await server.customer(), await server.showtime()];
      const socket = await Socket.acknowledged(server, { token: customer.token });
      const free = await customer.freeSeats(showtimeId);
      const answer = await socket
        .subscribe('1', 'mutation ($input: ReserveSeatsInput!) { reserveSeats(input: $input) { __typename } }', {
          input: { showtimeId, seatIds: free.slice(0, 1), idempotencyKey: 'over a socket' },
        })
        .next();
      socket.close();
      const left = await customer.freeSeats(showtimeId);
      return `${answer.type} ${answer.payload?.[0]?.extensions?.code}, ${left.length === free.length ? 'nothing' : 'a seat'} reserved`;
    },
  ],

  ...['*', '>', 'seats.>', 'sho_*', 'sho_a.b', ' ', 'sho_ 1', 'sho_\u0000'].map((id) => [
    `WS9 the id ${JSON.stringify(id)}`,
    'error BAD_USER_INPUT',
    async (server) => {
      const socket = await Socket.acknowledged(server);
      const answer = await socket.subscribe('1', watch, { id }).next();
      socket.close();
      return `${answer.type} ${answer.payload?.[0]?.extensions?.code}`;
    },
  ]),
];

/** Offers a subprotocol, or none, behind the back of the library, which would hang up on a server that accepts none. */
async function refusedSubprotocol(server, headers) {
  return (await new Socket(server, { protocol: [], headers }).open()).closed();
}

/** Sends 10,000 messages, or as many as the server takes, and listens in between. */
async function flood(socket, send) {
  for (let n = 0; n < 10_000 && socket.ws.readyState === WebSocket.OPEN; n++) {
    send(socket, n);
    if (n % 50 === 0) {
      await turn();
    }
  }
  return socket.closed();
}

/** Sends fragments of one message until the server has enough. */
async function fragments(socket, text) {
  let over = false;
  socket.ended.then(() => {
    over = true;
  });
  for (const late = performance.now() + 20_000; !over && performance.now() < late; await pause(5)) {
    if (socket.ws.readyState === WebSocket.OPEN) {
      socket.ws.send(text, { fin: false });
    }
  }
  return socket.closed();
}

// These need the server for themselves.
const alone = [
  [
    'WS6 a client that stops reading',
    'dropped within 10 s, while another saw every event within 1 s',
    async (server) => {
      const [customer, id] = [await server.customer(), await server.showtime()];
      const { client } = connect(server, server.visitor());
      const events = client.iterate({ query: watch, variables: { id } });
      await event(events);

      const stalled = await Socket.acknowledged(server);
      stalled.ws.pause();
      const since = performance.now();
      let dropped = 0;
      stalled.ended.then(() => {
        dropped = performance.now();
      });
      for (let n = 1; n <= operationsPerSocket; n++) {
        stalled.subscribe(`${n}`, watchWidely, { id });
      }
      let slowest = 0;
      let seen = 0;
      const seatIds = await customer.seatsFor(id, 4);
      while (!dropped && performance.now() - since < 15_000) {
        const reservation = await customer.reserve(id, seatIds);
        slowest = Math.max(slowest, await until(events, seatIds, 'HELD'));
        await customer.cancel(reservation);
        slowest = Math.max(slowest, await until(events, seatIds, 'AVAILABLE'));
        seen += 2;
        // A client that does not read learns of a cut connection when it writes. This one is alive in all else: it asks
        // for one snapshot after the other, each of which waits for the socket.
        stalled.send({ type: 'complete', id: '1' }).subscribe('1', watchWidely, { id });
        await pause(50);
      }
      await client.dispose();
      console.log(
        `        ${seen} events seen by the reader, the slowest after ${slowest.toFixed(0)} ms; ` +
          (dropped ? `dropped after ${((dropped - since) / 1000).toFixed(1)} s` : 'never dropped'),
      );
      stalled.close();
      return (
        `${dropped && dropped - since < 10_000 ? 'dropped within 10 s' : 'not dropped within 10 s'}, while another saw ` +
        (seen > 0 && slowest < 1000 ? 'every event within 1 s' : 'late ones')
      );
    },
  ],
  [
    'WS4 what is left when all clients have gone',
    '0 sockets',
    async (server) => {
      const late = performance.now() + 10_000;
      let open;
      while ((open = await server.metric('marquee_websockets_open')) > 0 && performance.now() < late) {
        await pause(50);
      }
      return `${open} sockets`;
    },
  ],
  [
    'graphql-ws: SIGTERM',
    'close 1012, exit code 0',
    async (server) => {
      const { client, closed } = connect(server, server.visitor());
      const events = client.iterate({ query: watch, variables: { id: await server.showtime() } });
      await event(events);
      const [got, how] = await Promise.all([closed(), server.terminate(), events.next().catch(() => {})]);
      return `${got}, ${how}`;
    },
  ],
];

/** Reads events until all of the seats have reached a state; returns how many milliseconds that took. */
async function until(events, seatIds, state) {
  const since = performance.now();
  const open = new Set(seatIds);
  while (open.size > 0) {
    for (const change of (await event(events)).changes) {
      if (change.state === state) {
        open.delete(change.seatId);
      }
    }
  }
  return performance.now() - since;
}

async function judge(server, [name, expected, run]) {
  const since = performance.now();
  let got;
  try {
    got = await run(server);
  } catch (error) {
    got = error.stack;
  }
  // What is expected of a close is its code; the reason is for people.
  const passed = got === expected || (/^close \d+$/.test(expected) && got.startsWith(`${expected} `));
  const took = ((performance.now() - since) / 1000).toFixed(1);
  console.log(`${passed ? 'ok' : 'FAILED'}  ${name}: expected ${expected}; got ${got} (${took} s)`);
  return passed;
}

await withMarquee(async (server) => {
  const verdicts = await Promise.all(plain.map((one) => judge(server, one)));
  for (const one of alone) {
    verdicts.push(await judge(server, one));
  }
  const ok = verdicts.filter(Boolean).length;
  const passed = ok === verdicts.length;
  console.log(`RESULT ok=${ok} total=${verdicts.length} verdict=${passed ? 'ok' : 'failed'}`);
  return passed;
});
