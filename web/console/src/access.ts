import { type Answer, type Api, bearer } from './api';
import { at, text } from './known';
import meDocument from './operations/me.graphql?raw';
import signInDocument from './operations/sign-in.graphql?raw';
import signOutDocument from './operations/sign-out.graphql?raw';
import { sessionOf } from './renewal';
import type { Session } from './session';
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
    try {
      const { errors } = await this.#api.post({ query: signOutDocument });
      const { token } = this.#session; // of the request, which may have renewed the session or found it over
      if (token === null) {
        return null;
      }
      this.#session.end(token);
      return errors?.[0]?.message ?? null;
    } catch (cause) {
      return sentence(cause);
    }
  }

  /** Finds out whether a session that an earlier load of the page left behind still holds. */
  async check(): Promise<void> {
    if (this.#session.token === null) {
      return;
    }
    try {
      await this.#api.post({ query: meDocument });
    } catch {
      // A server that is away says nothing about the session.
    }
  }

  /** Takes over a session that an operation of the user began or ended. */
  observe(answer: Answer): void {
    const began = sessionOf(answer, 'signIn') ?? sessionOf(answer, 'confirmSignUp');
    const { token } = this.#session;
    if (began !== null) {
      this.#session.begin(began);
    } else if (token !== null && at(answer.data, 'signOut', 'signedOut') === true) {
      this.#session.end(token);
    }
  }
}

function sentence(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
