/** Who is signed in, as far as the console shows it. */
export interface Account {
  readonly name: string;
  readonly email: string;
  readonly role: string;
}

/** A session that began with a sign-in, with the tokens that stand for it. */
export interface SignedIn {
  /** The access token, which requests carry for a quarter of an hour. */
  readonly token: string;
  /** What gives the next tokens, once. */
  readonly refreshToken: string;
  /** When that is due, in milliseconds of this machine's clock. */
  readonly renewAt: number;
  /** The same object as long as the session lasts and the account stays what it is. */
  readonly account: Account;
}

/** What the console knows of the session at one moment; a new object for each change. */
export interface SessionState {
  readonly signedIn: SignedIn | null;
  /** Why nobody is signed in, when that needs a word. */
  readonly notice: string | null;
}

const storageKey = 'marquee:session';

/**
 * The session of this browser tab. It outlives a reload, ends with the tab and is never written where other tabs or a
 * later visit could read it. Listeners hear of every change.
 */
export class Session {
  readonly #storage: Storage;
  readonly #listeners = new Set<() => void>();
  #state: SessionState;

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#state = { signedIn: restore(storage.getItem(storageKey)), notice: null };
  }

  get state(): SessionState {
    return this.#state;
  }

  get token(): string | null {
    return this.#state.signedIn?.token ?? null;
  }

  get account(): Account | null {
    return this.#state.signedIn?.account ?? null;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly snapshot = (): SessionState => this.#state;

  /** A session begins; one that was there before is forgotten. */
  begin(signedIn: SignedIn): void {
    this.#storage.setItem(storageKey, JSON.stringify(signedIn));
    this.#change({ signedIn, notice: null });
  }

  /** The session of `token` goes on with other tokens. Word of one that another session has replaced changes nothing. */
  renew(token: string, renewed: SignedIn): void {
    const { signedIn } = this.#state;
    if (signedIn?.token === token) {
      const account = isSame(signedIn.account, renewed.account) ? signedIn.account : renewed.account;
      this.begin({ ...renewed, account });
    }
  }

  /**
   * The session of `token` is over. Word of a session that another one has replaced changes nothing: it may come late,
   * as the answer to a request that was under way.
   */
  end(token: string, notice: string | null = null): void {
    if (token === this.token) {
      this.#storage.removeItem(storageKey);
      this.#change({ signedIn: null, notice });
    }
  }

  #change(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) {
      listener();
    }
  }
}

function isSame(one: Account, other: Account): boolean {
  return one.name === other.name && one.email === other.email && one.role === other.role;
}

/** What an earlier load of the page left behind; anything else than that is nothing. */
function restore(stored: string | null): SignedIn | null {
  if (stored === null) {
    return null;
  }
  try {
    const { token, refreshToken, renewAt, account } = JSON.parse(stored) as SignedIn;
    const texts = [token, refreshToken, account.name, account.email, account.role];
    const isWhole = texts.every((text) => typeof text === 'string') && typeof renewAt === 'number';
    return isWhole ? { token, refreshToken, renewAt, account } : null;
  } catch {
    return null;
  }
}
