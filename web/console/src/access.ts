import { type Answer, type Api, bearer, sessionEnded } from './api';
import { at, text } from './known';
import meDocument from './operations/me.graphql?raw';
import signInDocument from './operations/sign-in.graphql?raw';
import signOutDocument from './operations/sign-out.graphql?raw';
import type { Account, Session, SignedIn } from './session';
import type { Settings } from './settings';

const adminsOnly = 'This console is for administrators only.';

/** The way in and out: turns answers of the API into the session of this page. */
export class Access {
  readonly #api: Api;
  readonly #session: Session;
  readonly #settings: Settings;

  constructor(api: Api, session: Session, settings: Settings) {
    this.#api = api;
    this.#session = session;
    this.#settings = settings;
  }

  /** Whether the server answers more than a sign-in, and shows its schema. */
  get isOpen(): boolean {
    return this.#settings.environment === 'development' || this.#session.state.signedIn !== null;
  }

  /** Signs in; the result is a sentence when that fails. */
  async signIn(email: string, password: string): Promise<string | null> {
    try {
      const answer = await this.#api.post({ query: signInDocument, variables: { input: { email, password } } });
      const signedIn = sessionOf(answer, 'signIn');
      if (signedIn === null) {
        return text(answer.data, 'signIn', 'message') ?? answer.errors?.[0]?.message ?? 'The sign-in failed.';
      }
      if (this.#settings.environment === 'production' && signedIn.account.role !== 'ADMIN') {
        await this.#api.post({ query: signOutDocument }, { Authorization: bearer(signedIn.token) });
        return adminsOnly;
      }
      this.#session.begin(signedIn);
      return null;
    } catch (cause) {
      return sentence(cause);
    }
  }

  /** Ends the session on the server and here. The result is a sentence when the server did not do its part. */
  async signOut(): Promise<string | null> {
    const { token } = this.#session;
    if (token === null) {
      return null;
    }
    try {
      const { errors } = await this.#api.post({ query: signOutDocument });
      const problem = this.#session.token === token ? (errors?.[0]?.message ?? null) : null;
      this.#session.end(token);
      return problem;
    } catch (cause) {
      return sentence(cause);
    }
  }

  /** Asks the server whether a session that an earlier load of the page left behind still holds. */
  async check(): Promise<void> {
    const { token } = this.#session;
    if (token === null) {
      return;
    }
    try {
      const { data } = await this.#api.post({ query: meDocument });
      if (data && at(data, 'me') === null) {
        this.#session.end(token, sessionEnded);
      }
    } catch {
      // A server that is away says nothing about the session.
    }
  }

  /** Takes over a session that an operation of the user began or ended. */
  observe(answer: Answer): void {
    const began = sessionOf(answer, 'signIn') ?? sessionOf(answer, 'signUp');
    const { token } = this.#session;
    if (began !== null) {
      this.#session.begin(began);
    } else if (token !== null && at(answer.data, 'signOut', 'signedOut') === true) {
      this.#session.end(token);
    }
  }
}

/** The session in the answer of a mutation, when it asked for all that the page shows of it. */
function sessionOf({ data }: Answer, field: string): SignedIn | null {
  const token = text(data, field, 'token');
  const [name, email, role] = ['name', 'email', 'role'].map((part) => text(data, field, 'user', part));
  if (token === undefined || name === undefined || email === undefined || role === undefined) {
    return null;
  }
  const account: Account = { name, email, role };
  return { token, account };
}

function sentence(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
