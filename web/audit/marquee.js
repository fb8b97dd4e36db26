// Runs the built binary as a process of its own, as an operator does, and speaks plain GraphQL to it. It keeps nothing:
// what it started has ended, and its folder is gone, before finish returns.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chmod, mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

const root = path.resolve(import.meta.dirname, '../..');
const starting = 60_000; // includes the making of a database and of the demo world
const stopping = 30_000;
const delivery = 10_000; // of a letter to the mailbox

// The origin of a page on another host that may call the API.
export const allowedOrigin = 'https://tickets.example';

/**
 * Starts the binary with a demo world of its own, waits until it is ready, hands it to judge and ends it, whatever
 * happens; environment adds to its configuration. Judge returns whether all is well, and the process' exit code says the same; its second argument is a signal
 * that aborts when the process is told to stop.
 */
export async function withMarquee(judge, environment = {}) {
  const stop = new AbortController();
  const stopped = once(stop.signal, 'abort').then(() => {
    throw new Error('stopped by a signal');
  });
  stopped.catch(() => {}); // whoever waits for it is told
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => stop.abort());
  }
  const server = new Marquee(environment, ...(await freeAddresses(2)));
  let passed = false;
  try {
    await Promise.race([server.start(), stopped]);
    passed = await Promise.race([judge(server, stop.signal), stopped]);
  } catch (error) {
    console.log(error);
  } finally {
    if (!passed) {
      console.log(`\nThe server's last words:\n${await server.lastWords()}`);
    }
    await server.finish();
  }
  process.exit(passed ? 0 : 1);
}

/** Addresses of the loopback interface that nobody listens on at this moment. */
async function freeAddresses(count) {
  const listeners = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(listeners.map((listener) => once(listener, 'listening')));
  const addresses = listeners.map((listener) => `127.0.0.1:${listener.address().port}`);
  await Promise.all(listeners.map((listener) => once(listener.close(), 'close')));
  return addresses;
}

/** A running server, by its address and that of its operators. */
export class Endpoint {
  #showtimes; // a promise, so that all who ask at once share one list

  constructor(address, ops) {
    this.address = address;
    this.ops = ops;
    this.http = `http://${address}/graphql`;
    this.socket = `ws://${address}/graphql`;
  }

  /** A client without a session, at an address of its own. */
  visitor() {
    return new Visitor(this);
  }

  /** A client with an account that nobody else has. */
  async customer() {
    const visitor = new Visitor(this);
    const { confirmSignUp } = await visitor.ask(
      `mutation ($input: ConfirmSignUpInput!) {
        confirmSignUp(input: $input) { ... on SessionPayload { token } ... on UserError { message } }
      }`,
      { input: await this.newAccount() },
    );
    if (!confirmSignUp.token) {
      throw new Error(`a sign-up was refused: ${confirmSignUp.message}`);
    }
    visitor.token = confirmSignUp.token;
    return visitor;
  }

  /** What confirmSignUp takes, once a letter has come to an address that has no account. */
  async newAccount(email = newEmail()) {
    await this.visitor().ask('mutation ($input: SignUpInput!) { signUp(input: $input) { email } }', { input: { email } });
    return { token: await this.mailedToken(email), password: 'an audit needs a password', name: 'Auditor' };
  }

  /** The token in the latest letter to an address, once there is one. */
  async mailedToken(email) {
    const mailbox = `http://${this.ops}/mailbox?to=${encodeURIComponent(email)}`;
    for (const late = Date.now() + delivery; ; await pause(20)) {
      const { letters } = await (await fetch(mailbox, { headers: { Accept: 'application/json' } })).json();
      if (letters.length > 0) {
        return new URL(letters[0].link).hash.replace('#token=', '');
      }
      if (Date.now() > late) {
        throw new Error(`no letter came to ${email}`);
      }
    }
  }

  /** The id of a showtime on sale that was not given out before. */
  async showtime() {
    this.#showtimes ??= this.#listShowtimes();
    return (await this.#showtimes).shift();
  }

  async #listShowtimes() {
    const tomorrow = new Date(Date.now() + 24 * 3600 * 1000).toISOString();
    const { showtimes } = await this.visitor().ask(
      'query ($from: DateTime!) { showtimes(first: 100, filter: { from: $from }) { nodes { id } } }',
      { from: tomorrow },
    );
    return showtimes.nodes.map((node) => node.id);
  }
}

/** The server that this process has started. */
class Marquee extends Endpoint {
  #folder;
  #process;
  #ended;
  #finishing = false;

  #environment;

  constructor(environment, address, ops) {
    super(address, ops);
    this.#environment = environment;
  }

  /** Starts the process and waits until it is ready. Who starts must finish, whatever comes of it. */
  async start() {
    this.#folder = await mkdtemp(path.join(tmpdir(), 'marquee-audit-'));
    await chmod(this.#folder, 0o711); // the private PostgreSQL of root runs as another user, who must pass through
    const inherited = Object.entries(process.env).filter(
      ([name]) => !name.startsWith('MARQUEE_') || name === 'MARQUEE_PG_BIN',
    );
    const log = await open(this.#log(), 'w');
    if (this.#finishing) {
      return;
    }
    this.#process = spawn(process.env.MARQUEE_BINARY ?? path.join(root, 'bin/marquee'), ['serve'], {
      stdio: ['ignore', log.fd, log.fd],
      env: {
        ...Object.fromEntries(inherited),
        MARQUEE_LISTEN: this.address,
        MARQUEE_OPS_LISTEN: this.ops,
        MARQUEE_DATA_DIR: path.join(this.#folder, 'data'),
        MARQUEE_ALLOWED_ORIGINS: allowedOrigin,
        // Lets each client of an audit come from an address of its own.
        MARQUEE_TRUSTED_PROXIES: '127.0.0.0/8',
        // An audit holds and gives back all the time.
        MARQUEE_IDLE_HOLDS: '0',
        ...this.#environment,
      },
    });
    this.#ended = once(this.#process, 'exit').then(
      ([code, signal]) => `exit code ${code ?? signal}`,
      (error) => error.message,
    );
    await log.close();
    const ended = this.#ended.then((how) => {
      throw new Error(`the server ended before it was ready: ${how}`);
    });
    ended.catch(() => {}); // an end after the start is nobody's surprise
    await Promise.race([ended, this.#ready()]);
  }

  async #ready() {
    for (const late = AbortSignal.timeout(starting); ; await pause(20)) {
      try {
        if ((await fetch(`http://${this.address}/readyz`, { signal: late })).ok) {
          return;
        }
      } catch (error) {
        if (late.aborted) {
          throw new Error('the server was not ready in time', { cause: error });
        }
      }
    }
  }

  #log() {
    return path.join(this.#folder, 'marquee.log');
  }

  async lastWords(lines = 20) {
    const log = this.#process ? await readFile(this.#log(), 'utf8') : '';
    return log.trimEnd().split('\n').slice(-lines).join('\n');
  }

  /** The value of a metric without labels. */
  async metric(name) {
    const page = await (await fetch(`http://${this.ops}/metrics`)).text();
    const line = page.split('\n').find((text) => text.startsWith(`${name} `));
    if (!line) {
      throw new Error(`there is no metric ${name}`);
    }
    return Number(line.slice(name.length));
  }

  /** Sends SIGTERM and returns how the process ended: "exit code 0" when in order. */
  async terminate() {
    this.#process.kill('SIGTERM');
    const late = pause(stopping, 'killed, since it did not stop', { ref: false });
    const how = await Promise.race([this.#ended, late]);
    if (this.#process.exitCode === null && this.#process.signalCode === null) {
      this.#process.kill('SIGKILL');
      await this.#ended;
    }
    return how;
  }

  /** Ends the process, and PostgreSQL if it has outlived it, and removes their folder. */
  async finish() {
    this.#finishing = true;
    if (!this.#folder) {
      return;
    }
    if (this.#process?.pid) {
      await this.terminate();
    }
    await this.#endPostgres();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #endPostgres() {
    const late = Date.now() + stopping;
    for (let told = false; ; await pause(20)) {
      const file = (await readdir(this.#folder, { recursive: true })).find((name) => name.endsWith('postmaster.pid'));
      const pid = file && Number((await readFile(path.join(this.#folder, file), 'utf8')).split('\n')[0]);
      if (!(pid > 1) || !isAlive(pid)) {
        return;
      }
      if (!told) {
        process.kill(pid, 'SIGINT'); // PostgreSQL's fast shutdown
        told = true;
      }
      if (Date.now() > late) {
        process.kill(pid, 'SIGKILL');
        throw new Error(`PostgreSQL's process ${pid} did not stop and was killed`);
      }
    }
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** A GraphQL answer with errors. */
export class Refused extends Error {
  constructor(errors) {
    super(errors.map((error) => error.message).join('; '));
    this.code = errors[0]?.extensions?.code;
  }
}

/** An address that nobody else has. */
export const newEmail = () => `${randomUUID()}@audit.example`;

let addresses = 0;

/** An address of the Internet, which a client claims by the header of a trusted proxy, that nobody else has. */
export function newAddress() {
  addresses++;
  return `198.18.${addresses >> 8}.${addresses & 255}`;
}

/** A client at an address of its own, signed in when it has a token. */
class Visitor {
  token = '';
  address = newAddress();

  constructor(server) {
    this.server = server;
  }

  get headers() {
    const headers = { 'X-Forwarded-For': this.address };
    if (this.token) {
      headers.Authorization = `Bearer ${this.token}`;
    }
    return headers;
  }

  async ask(query, variables = {}) {
    const answer = await fetch(this.server.http, {
      method: 'POST',
      headers: { ...this.headers, 'Content-Type': 'application/json' },
      body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await answer.json();
    if (errors) {
      throw new Refused(errors);
    }
    return data;
  }

  /** The ids of all free seats of a showtime. */
  async freeSeats(showtimeId) {
    const { seatMap } = await this.ask(
      'query ($id: ID!) { seatMap(showtimeId: $id) { availableCount seats { seat { id } state } } }',
      { id: showtimeId },
    );
    const free = seatMap.seats.filter((one) => one.state === 'AVAILABLE').map((one) => one.seat.id);
    if (free.length !== seatMap.availableCount) {
      throw new Error(
        `the seat map of ${showtimeId} counts ${seatMap.availableCount} free seats and shows ${free.length}`,
      );
    }
    return free;
  }

  /** The ids of seats that a party may take: free, and no rule of the theater forbids them. */
  async seatsFor(showtimeId, party) {
    const { bestAvailable } = await this.ask(
      'query ($input: BestAvailableInput!) { bestAvailable(input: $input) { seats { id } } }',
      { input: { showtimeId, seats: party, limit: 1 } },
    );
    if (bestAvailable.length === 0) {
      throw new Error(`a party of ${party} finds no seats at ${showtimeId}`);
    }
    return bestAvailable[0].seats.map((seat) => seat.id);
  }

  /** Holds seats and returns the reservation's id. */
  async reserve(showtimeId, seatIds) {
    const { reserveSeats } = await this.ask(
      `mutation ($input: ReserveSeatsInput!) {
        reserveSeats(input: $input) { ... on ReserveSeatsPayload { reservation { id } } ... on UserError { message } }
      }`,
      { input: { showtimeId, seatIds, idempotencyKey: randomUUID() } },
    );
    if (!reserveSeats.reservation) {
      throw new Error(`seats were refused: ${reserveSeats.message}`);
    }
    return reserveSeats.reservation.id;
  }

  async cancel(reservationId) {
    await this.ask('mutation ($input: CancelReservationInput!) { cancelReservation(input: $input) { __typename } }', {
      input: { reservationId },
    });
  }

  async signOut() {
    await this.ask('mutation { signOut { signedOut } }');
  }
}
