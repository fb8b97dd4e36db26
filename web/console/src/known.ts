import type { Answer, Api } from './api';
import type { Filled } from './filled';
import meDocument from './operations/me.graphql?raw';
import seatsDocument from './operations/seats.graphql?raw';
import showtimesDocument from './operations/showtimes.graphql?raw';
import type { DemoSignIn } from './settings';

/** What the console fills into variables, by the name of the variable or input field. */
export interface Values {
  readonly showtimeId: string;
  readonly seatIds: readonly string[];
  readonly reservationId: string;
}

interface ShowtimesData {
  showtimes: {
    nodes: readonly {
      id: string;
      status: string;
      maxSeatsPerCustomer: number;
      theater: { id: string };
    }[];
  };
}

interface MeData {
  me: { grants: readonly { theater: { id: string } | null }[] } | null;
}

interface SeatsData {
  bestAvailable: readonly { seats: readonly { id: string }[] }[];
}

/** Seats that are free at a showtime, and its theater where that is known. */
interface Found {
  readonly theaterId: string | undefined;
  readonly showtimeId: string;
  readonly seatIds: readonly string[];
}

/** The mutations after which other seats are free. */
const claiming = ['reserveSeats', 'changeSeats', 'swapSeats', 'sellAtCounter'];
const seatsTogether = 2;
const showtimesToTry = 8;
const hoursAhead = 3; // swaps end earlier than sales

/**
 * Ids that make the examples work without copying: an open showtime, its best free seats, and the viewer's latest
 * reservation. Listeners hear of every change.
 */
export class Known {
  readonly #api: Api;
  readonly #listeners = new Set<() => void>();
  #values: Values = { showtimeId: '', seatIds: [], reservationId: '' };
  #theaterId: string | undefined; // of the showtime, where it was told
  #workplace: Promise<string | undefined> | undefined; // of this viewer, once it was asked for

  constructor(api: Api) {
    this.#api = api;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Values => this.#values;

  /**
   * Looks for seats that are free, first at the showtime that is known; for who works at a theater, at that one. What the
   * server refuses leaves all as it is.
   */
  async lookUp(): Promise<void> {
    this.#workplace ??= this.#findWorkplace();
    const workplace = this.#workplace;
    try {
      const found = await this.#findSeats(await workplace);
      if (found === null || workplace !== this.#workplace) {
        return; // nothing is free, or somebody else has signed in meanwhile
      }
      this.#theaterId = found.theaterId;
      const { showtimeId, seatIds } = this.#values;
      if (found.showtimeId !== showtimeId || found.seatIds.join() !== seatIds.join()) {
        this.#change({ showtimeId: found.showtimeId, seatIds: found.seatIds });
      }
    } catch {
      // The examples show empty ids; running one says what is wrong with the server.
      this.#workplace = undefined;
    }
  }

  /** Takes the ids that later examples need from the answer to an operation that a user ran. */
  learn({ data }: Answer): void {
    const reservation =
      at(data, 'reserveSeats', 'reservation') ??
      at(data, 'swapSeats', 'reservation') ??
      at(data, 'myReservations', 'nodes', '0');
    const { reservationId, showtimeId } = this.#values;
    const id = text(reservation, 'id') ?? reservationId;
    const of = text(reservation, 'showtime', 'id') ?? showtimeId;
    if (of !== showtimeId) {
      this.#theaterId = undefined;
      this.#change({ reservationId: id, showtimeId: of, seatIds: [] });
    } else if (id !== reservationId) {
      this.#change({ reservationId: id });
    }
    if (of !== showtimeId || claiming.some((mutation) => at(data, mutation) !== undefined)) {
      void this.lookUp();
    }
  }

  /** Forgets what belongs to a viewer. */
  forgetViewer(): void {
    this.#workplace = undefined;
    this.#change({ reservationId: '' });
  }

  /** The theater that the viewer has a role at; undefined for everybody else. */
  async #findWorkplace(): Promise<string | undefined> {
    const { data } = await this.#api.post<MeData>({ query: meDocument });
    return data?.me?.grants.find(({ theater }) => theater !== null)?.theater?.id;
  }

  /** Seats that are free, at the showtime that is known unless it is of another theater than is wanted. */
  async #findSeats(wanted: string | undefined): Promise<Found | null> {
    const { showtimeId } = this.#values;
    const theaterId = this.#theaterId;
    if (showtimeId !== '' && (wanted === undefined || wanted === theaterId)) {
      const seatIds = await this.#freeSeats(showtimeId);
      if (seatIds.length > 0) {
        return { theaterId, showtimeId, seatIds };
      }
    }
    const from = new Date(Date.now() + hoursAhead * 3_600_000).toISOString();
    const { data } = await this.#api.post<ShowtimesData>({
      query: showtimesDocument,
      variables: { from, theaterId: wanted, first: showtimesToTry },
    });
    for (const { id, status, maxSeatsPerCustomer, theater } of data?.showtimes.nodes ?? []) {
      if (status === 'SCHEDULED' && maxSeatsPerCustomer >= seatsTogether) {
        const seatIds = await this.#freeSeats(id);
        if (seatIds.length > 0) {
          return { theaterId: theater.id, showtimeId: id, seatIds };
        }
      }
    }
    return null;
  }

  /** The best seats for a small party, which no rule of the theater forbids; none when there are not enough. */
  async #freeSeats(showtimeId: string): Promise<readonly string[]> {
    const { data } = await this.#api.post<SeatsData>({
      query: seatsDocument,
      variables: { input: { showtimeId, seats: seatsTogether, allowSplit: false, limit: 1 } },
    });
    return data?.bestAvailable[0]?.seats.map(({ id }) => id) ?? [];
  }

  #change(values: Partial<Values>): void {
    this.#values = { ...this.#values, ...values };
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

/** The value at a path inside an answer. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>)[key] : undefined),
    value,
  );
}

/** The same where it is a text. */
export function text(value: unknown, ...path: readonly string[]): string | undefined {
  const found = at(value, ...path);
  return typeof found === 'string' ? found : undefined;
}

function randomLetters(): string {
  return crypto.randomUUID().slice(0, 8);
}

/** What fills variables. */
export interface Filling {
  readonly known: Known;
  readonly signIn: DemoSignIn | undefined;
  readonly filled: Filled;
}

/**
 * Fills variables: empty texts and lists whose names the console knows a value for, and with `renew` also what it filled
 * in earlier. What a user typed stays. Returns the same text when there is nothing to do, or when it is not JSON.
 */
export function fill(variables: string, { known, signIn, filled }: Filling, { renew }: { renew: boolean }): string {
  const values = known.snapshot();
  let parsed: unknown;
  try {
    parsed = JSON.parse(variables);
  } catch {
    return variables;
  }
  // Who signs in has a password beside the address; who asks for an account has not.
  const suggestions: Readonly<Record<string, (beside: object) => unknown>> = {
    showtimeId: () => values.showtimeId,
    seatIds: () => values.seatIds,
    reservationId: () => values.reservationId,
    id: () => values.showtimeId,
    idempotencyKey: () => `console-${crypto.randomUUID()}`,
    email: (beside) => ('password' in beside ? signIn?.email : `visitor-${randomLetters()}@marquee.example`),
    password: () => signIn?.password,
  };
  let changed = false;
  const visit = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return value;
    }
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => {
        const isOpen = isEmpty(inner) || (renew && filled.has(inner));
        const suggestion = isOpen ? suggestions[name]?.(value) : undefined;
        if (suggestion === undefined || isEmpty(suggestion)) {
          return [name, visit(inner)];
        }
        changed = true;
        filled.add(suggestion);
        return [name, suggestion];
      }),
    );
  };
  const result = visit(parsed);
  return changed ? JSON.stringify(result, null, 2) : variables;
}

function isEmpty(value: unknown): boolean {
  return value === '' || (Array.isArray(value) && value.length === 0);
}
