import type { Answer, Api } from './api';
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
    }[];
  };
}

interface SeatsData {
  bestAvailable: readonly { seats: readonly { id: string }[] }[];
}

const seatsTogether = 2;
const showtimesToTry = 8;
const hoursAhead = 2;

/**
 * Ids that make the examples work without copying: an open showtime, its best free seats, and the viewer's latest
 * reservation. Listeners hear of every change.
 */
export class Known {
  readonly #api: Api;
  readonly #listeners = new Set<() => void>();
  #values: Values = { showtimeId: '', seatIds: [], reservationId: '' };

  constructor(api: Api) {
    this.#api = api;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): Values => this.#values;

  /** Looks for seats that are free, first at the showtime that is known. What the server refuses leaves all as it is. */
  async lookUp(): Promise<void> {
    try {
      const { showtimeId } = this.#values;
      const here = showtimeId === '' ? [] : await this.#freeSeats(showtimeId);
      if (here.length > 0) {
        if (here.join() !== this.#values.seatIds.join()) {
          this.#change({ seatIds: here });
        }
        return;
      }
      const from = new Date(Date.now() + hoursAhead * 3_600_000).toISOString();
      const { data } = await this.#api.post<ShowtimesData>({
        query: showtimesDocument,
        variables: { from, first: showtimesToTry },
      });
      for (const { id, status, maxSeatsPerCustomer } of data?.showtimes.nodes ?? []) {
        if (status === 'SCHEDULED' && maxSeatsPerCustomer >= seatsTogether) {
          const seatIds = await this.#freeSeats(id);
          if (seatIds.length > 0) {
            this.#change({ showtimeId: id, seatIds });
            return;
          }
        }
      }
    } catch {
      // The examples show empty ids; running one says what is wrong with the server.
    }
  }

  /** Takes the ids that later examples need from the answer to an operation that a user ran. */
  learn({ data }: Answer): void {
    const reserved = text(data, 'reserveSeats', 'reservation', 'id');
    const newest = text(data, 'myReservations', 'nodes', '0', 'id');
    const reservationId = reserved ?? newest;
    if (reservationId !== undefined && reservationId !== this.#values.reservationId) {
      this.#change({ reservationId });
    }
    if (at(data, 'reserveSeats') !== undefined || at(data, 'changeSeats') !== undefined) {
      void this.lookUp();
    }
  }

  /** Forgets what belongs to a viewer. */
  forgetViewer(): void {
    this.#change({ reservationId: '' });
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
  /** What was filled in, as JSON: such values may be replaced later, those of a user never. */
  readonly filled: Set<string>;
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
        const isOpen = isEmpty(inner) || (renew && filled.has(JSON.stringify(inner)));
        const suggestion = isOpen ? suggestions[name]?.(value) : undefined;
        if (suggestion === undefined || isEmpty(suggestion)) {
          return [name, visit(inner)];
        }
        changed = true;
        filled.add(JSON.stringify(suggestion));
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
