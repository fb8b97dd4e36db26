import { type Answer, failure, receive, send, sessionEnded } from './api';
import { text } from './known';
import refreshSessionDocument from './operations/refresh-session.graphql?raw';
import type { Account, Session, SignedIn } from './session';

const minute = 60_000;
/** How long a renewal that failed rests: the server repeats a lost answer for half a minute. */
const rest = 5_000;

/**
 * Keeps the access token of a session fresh: a minute before it ends, and on first use after the page has slept through
 * that. One request is under way at most, since a refresh token is good once. The session ends here when the server says
 * that it is over; any other failure leaves it as it is.
 */
export class Renewal {
  readonly #session: Session;
  #underWay: Promise<void> | null = null;
  #timer: number | undefined;

  constructor(session: Session) {
    this.#session = session;
    session.subscribe(() => this.#plan());
    this.#plan();
  }

  /**
   * The token to send, null when nobody is signed in. It is another than `refused`, which the server has refused; rejects
   * with a sentence when there is none to be had.
   */
  async token(refused: string | null = null): Promise<string | null> {
    const { signedIn } = this.#session.state;
    if (signedIn !== null && signedIn.token === refused) {
      await this.#renew();
    } else if (signedIn !== null && signedIn.renewAt <= Date.now()) {
      await this.#renew().catch(() => {}); // the present token may still do; if not, the server says so
    }
    return this.#session.token;
  }

  #renew(): Promise<void> {
    this.#underWay ??= this.#ask().finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  async #ask(): Promise<void> {
    const { signedIn } = this.#session.state;
    if (signedIn === null) {
      return;
    }
    const { token, refreshToken } = signedIn;
    const answer: Answer = await receive(
      await send({ query: refreshSessionDocument, variables: { input: { refreshToken } } }),
    );
    const renewed = sessionOf(answer, 'refreshSession');
    if (renewed !== null) {
      this.#session.renew(token, renewed);
    } else if (text(answer.data, 'refreshSession', '__typename') === 'SessionEnded') {
      this.#session.end(token, sessionEnded);
    } else {
      throw failure(answer.errors?.[0]?.message ?? 'The session cannot be renewed.');
    }
  }

  #plan(): void {
    const { signedIn } = this.#session.state;
    window.clearTimeout(this.#timer);
    if (signedIn !== null) {
      this.#wait(signedIn.renewAt - Date.now());
    }
  }

  #wait(delay: number): void {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => this.#renew().catch(() => this.#wait(rest)), delay);
  }
}

/** The session in the answer of a mutation, when it asked for all that the page needs of it. */
export function sessionOf({ data }: Answer, ...way: readonly string[]): SignedIn | null {
  const [token, refreshToken, expiresAt] = ['token', 'refreshToken', 'expiresAt'].map((part) => text(data, ...way, part));
  const [name, email, role] = ['name', 'email', 'role'].map((part) => text(data, ...way, 'user', part));
  if (token === undefined || refreshToken === undefined || expiresAt === undefined) {
    return null;
  }
  if (name === undefined || email === undefined || role === undefined) {
    return null;
  }
  const account: Account = { name, email, role };
  // A clock that runs ahead makes every token look old, and must not keep the page busy with nothing else.
  const renewAt = Math.max(Date.parse(expiresAt) - minute, Date.now() + minute);
  return { token, refreshToken, renewAt, account };
}
