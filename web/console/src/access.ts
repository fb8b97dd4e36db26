import { type Answer, type Api, bearer } from './api';
import { at, text } from './known';
import beginTotpDocument from './operations/begin-totp.graphql?raw';
import confirmTotpDocument from './operations/confirm-totp.graphql?raw';
import meDocument from './operations/me.graphql?raw';
import proveSecondFactorDocument from './operations/prove-second-factor.graphql?raw';
import signInDocument from './operations/sign-in.graphql?raw';
import signOutDocument from './operations/sign-out.graphql?raw';
import { sessionOf } from './renewal';
import type { Session, SignedIn } from './session';
import type { Settings } from './settings';
import { codesAround } from './totp';

const adminsOnly = 'This console is for administrators only.';

/** What a sign-in waits for after the password. */
export type Step =
  /** The code of an authenticator app, or a recovery code. */
  | { readonly kind: 'prove'; readonly pendingToken: string }
  /** An authenticator app, which the account's role takes and the account lacks, with its first code. */
  | { readonly kind: 'enrol'; readonly token: string; readonly qr: string; readonly secret: string }
  /** That the user has kept the recovery codes, which are shown once. */
  | { readonly kind: 'keep'; readonly signedIn: SignedIn; readonly recoveryCodes: readonly string[] };

/** How far an attempt came: what it waits for, null when it is over, and why when it failed. */
export interface Outcome {
  readonly next: Step | null;
  readonly refusal: string | null;
}

const done: Outcome = { next: null, refusal: null };

function refused(refusal: string, next: Step | null = null): Outcome {
  return { next, refusal };
}

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

  /** Signs in. With the secret of the account's authenticator app, where that is none, its codes are made here. */
  signIn(email: string, password: string, secret?: string): Promise<Outcome> {
    return attempt(null, async () => {
      const answer = await this.#api.post({ query: signInDocument, variables: { input: { email, password } } });
      const pendingToken = text(answer.data, 'signIn', 'pendingToken');
      if (pendingToken !== undefined) {
        const step: Step = { kind: 'prove', pendingToken };
        return secret === undefined ? { next: step, refusal: null } : this.#proveBySecret(step, secret);
      }
      const signedIn = sessionOf(answer, 'signIn');
      if (signedIn === null) {
        return refused(sentenceIn(answer, 'signIn') ?? 'The sign-in failed.');
      }
      return at(answer.data, 'signIn', 'secondFactorDue') === true ? this.#enrol(signedIn.token) : this.#admit(signedIn);
    });
  }

  /** Completes a sign-in by the code of an authenticator app or a recovery code. */
  prove(step: Step & { kind: 'prove' }, typed: string): Promise<Outcome> {
    return attempt(step, async () => {
      const code = typed.replaceAll(/\s/g, '');
      const proof = /^\d{6}$/.test(code) ? { code } : { recoveryCode: typed };
      const answer = await this.#api.post({
        query: proveSecondFactorDocument,
        variables: { input: { pendingToken: step.pendingToken, ...proof } },
      });
      const signedIn = sessionOf(answer, 'proveSecondFactor');
      if (signedIn !== null) {
        return this.#admit(signedIn);
      }
      const over = text(answer.data, 'proveSecondFactor', '__typename') === 'SessionEnded';
      return refused(sentenceIn(answer, 'proveSecondFactor') ?? 'The proof failed.', over ? null : step);
    });
  }

  /** Completes the enrolment of an authenticator app by its first code. */
  confirm(step: Step & { kind: 'enrol' }, code: string): Promise<Outcome> {
    return attempt(step, async () => {
      const input = { name: 'Authenticator app', code: code.replaceAll(/\s/g, '') };
      const answer = await this.#api.post({ query: confirmTotpDocument, variables: { input } }, as(step.token));
      const signedIn = sessionOf(answer, 'confirmTotp', 'session');
      if (signedIn === null) {
        return refused(sentenceIn(answer, 'confirmTotp') ?? 'The app was not enrolled.', step);
      }
      const recoveryCodes = at(answer.data, 'confirmTotp', 'recoveryCodes') as readonly string[];
      return { next: { kind: 'keep', signedIn, recoveryCodes }, refusal: null };
    });
  }

  /** Ends the wait of a sign-in: goes on when the recovery codes are kept, else forgets it here and on the server. */
  leave(step: Step): Promise<Outcome> {
    return attempt(null, async () => {
      if (step.kind === 'keep') {
        return this.#admit(step.signedIn);
      }
      if (step.kind === 'enrol') {
        await this.#api.post({ query: signOutDocument }, as(step.token));
      }
      return done;
    });
  }

  /** Ends the session on the server and here. */
  signOut(): Promise<Outcome> {
    return attempt(null, async () => {
      const { errors } = await this.#api.post({ query: signOutDocument });
      const { token } = this.#session; // of the request, which may have renewed the session or found it over
      if (token === null) {
        return done;
      }
      this.#session.end(token);
      return { next: null, refusal: errors?.[0]?.message ?? null };
    });
  }

  async #proveBySecret(step: Step & { kind: 'prove' }, secret: string): Promise<Outcome> {
    const codes = await codesAround(secret, Date.now()).catch(() => []);
    let outcome: Outcome = { next: step, refusal: null };
    for (const code of codes) {
      outcome = await this.prove(step, code);
      if (outcome.next === null) {
        break;
      }
    }
    return outcome;
  }

  async #enrol(token: string): Promise<Outcome> {
    const answer = await this.#api.post({ query: beginTotpDocument }, as(token));
    const [qr, secret] = ['qr', 'secret'].map((part) => text(answer.data, 'beginTotp', part));
    if (qr === undefined || secret === undefined) {
      await this.#api.post({ query: signOutDocument }, as(token));
      return refused(sentenceIn(answer, 'beginTotp') ?? 'Your role needs a second factor, and none can be enrolled.');
    }
    return { next: { kind: 'enrol', token, qr, secret }, refusal: null };
  }

  async #admit(signedIn: SignedIn): Promise<Outcome> {
    if (this.#settings.environment === 'production' && signedIn.account.role !== 'ADMIN') {
      await this.#api.post({ query: signOutDocument }, as(signedIn.token));
      return refused(adminsOnly);
    }
    this.#session.begin(signedIn);
    return done;
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
    const began = ways.map((way) => sessionOf(answer, ...way)).find((session) => session !== null) ?? null;
    const { token } = this.#session;
    if (began !== null) {
      this.#session.begin(began);
    } else if (token !== null && at(answer.data, 'signOut', 'signedOut') === true) {
      this.#session.end(token);
    }
  }
}

/** Where answers hold the session that an operation began or went on with. */
const ways = [
  ['signIn'],
  ['signInWithPasskey'],
  ['completeProviderSignIn'],
  ['confirmSignUp'],
  ['proveSecondFactor'],
  ['proveAgain'],
  ['refreshSession'],
  ['confirmTotp', 'session'],
  ['confirmPasskey', 'session'],
  ['removeFactor', 'session'],
];

function as(token: string): Record<string, string> {
  return { Authorization: bearer(token) };
}

/** The sentence of a refusal, wherever the answer has it. */
function sentenceIn({ data, errors }: Answer, field: string): string | null {
  return text(data, field, 'message') ?? errors?.[0]?.message ?? null;
}

/** Runs a part of a sign-in; when the server cannot be reached it stays where it is. */
async function attempt(step: Step | null, action: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await action();
  } catch (cause) {
    return refused(cause instanceof Error ? cause.message : String(cause), step);
  }
}
