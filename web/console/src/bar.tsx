import { type FormEvent, useState, useSyncExternalStore } from 'react';

import type { Access, Outcome, Step } from './access';
import logo from './marquee.svg';
import type { Session } from './session';
import type { Settings } from './settings';

interface Props {
  readonly access: Access;
  readonly session: Session;
  readonly settings: Settings;
}

/** `THEATER_MANAGER` as people say it. */
function spoken(role: string): string {
  const words = role.toLowerCase().replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The bar at the top: which server this is, who is signed in, and the way in and out. */
export function Bar({ access, session, settings }: Props) {
  const { signedIn, notice } = useSyncExternalStore(session.subscribe, session.snapshot);
  const [failure, setFailure] = useState<string | null>(null);
  const [step, setStep] = useState<Step | null>(null);
  const [busy, setBusy] = useState(false);

  const problem = failure ?? notice;

  const attempt = async (action: () => Promise<Outcome>): Promise<boolean> => {
    setBusy(true);
    setFailure(null);
    const { next, refusal } = await action();
    setStep(next);
    setFailure(refusal);
    setBusy(false);
    return refusal === null;
  };

  return (
    <header className="bar">
      <span className="bar-logo">
        <img src={logo} alt="" />
        Marquee
      </span>
      <span className="bar-badge" data-environment={settings.environment}>
        {settings.environment}
      </span>
      <p className="bar-notice">
        <span role="alert">{problem}</span>
        {problem === null && !access.isOpen && 'Sign in as an administrator to begin.'}
      </p>
      {signedIn === null && step === null && (
        <SignIn settings={settings} busy={busy} signIn={(...given) => attempt(() => access.signIn(...given))} />
      )}
      {signedIn === null && step !== null && (
        <SecondFactor
          step={step}
          busy={busy}
          send={(code) =>
            attempt(() => {
              switch (step.kind) {
                case 'prove':
                  return access.prove(step, code);
                case 'enrol':
                  return access.confirm(step, code);
                case 'keep':
                  return access.leave(step);
              }
            })
          }
          cancel={() => attempt(() => access.leave(step))}
        />
      )}
      {signedIn !== null && (
        <div className="bar-account">
          <span className="bar-who">
            <strong>{signedIn.account.name}</strong>
            <span>{signedIn.account.email}</span>
          </span>
          <span className="bar-badge" data-role={signedIn.account.role}>
            {spoken(signedIn.account.role)}
          </span>
          <button type="button" disabled={busy} onClick={() => void attempt(() => access.signOut())}>
            Sign out
          </button>
        </div>
      )}
    </header>
  );
}

interface SignInProps {
  readonly settings: Settings;
  readonly busy: boolean;
  readonly signIn: (email: string, password: string, secret?: string) => Promise<boolean>;
}

function SignIn({ settings, busy, signIn }: SignInProps) {
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const fields = new FormData(form);
    const wentWell = await signIn(String(fields.get('email')), String(fields.get('password')));
    if (!wentWell) {
      form.querySelector<HTMLInputElement>('input[name=password]')?.select();
    }
  };

  return (
    <form className="bar-sign-in" aria-label="Sign in" onSubmit={(event) => void submit(event)}>
      {settings.signIns.length > 0 && (
        <fieldset disabled={busy}>
          <legend>Demo</legend>
          {settings.signIns.map(({ role, email, password, secret }) => (
            <button
              key={email}
              type="button"
              title={`Sign in as ${email}`}
              onClick={() => void signIn(email, password, secret)}
            >
              {spoken(role)}
            </button>
          ))}
        </fieldset>
      )}
      <input
        name="email"
        required
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        placeholder="E-mail or username"
        aria-label="E-mail or username"
      />
      <input
        name="password"
        type="password"
        required
        autoComplete="current-password"
        placeholder="Password"
        aria-label="Password"
      />
      <button type="submit" className="bar-primary" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}

interface SecondFactorProps {
  readonly step: Step;
  readonly busy: boolean;
  readonly send: (code: string) => Promise<boolean>;
  readonly cancel: () => Promise<boolean>;
}

/** What a sign-in asks for after the password. */
function SecondFactor({ step, busy, send, cancel }: SecondFactorProps) {
  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const wentWell = await send(String(new FormData(form).get('code')));
    if (!wentWell) {
      form.querySelector<HTMLInputElement>('input[name=code]')?.select();
    }
  };

  return (
    <form className="bar-sign-in" aria-label="Second factor" onSubmit={(event) => void submit(event)}>
      {step.kind === 'enrol' && (
        <div className="bar-panel">
          <p>Your role needs a second factor. Scan this with an authenticator app, or type its secret into one.</p>
          <img src={step.qr} alt="QR code of the secret" />
          <code>{step.secret}</code>
        </div>
      )}
      {step.kind === 'keep' ? (
        <>
          <div className="bar-panel">
            <p>Keep these recovery codes. Each stands in for the app once; they are not shown again.</p>
            <ul>
              {step.recoveryCodes.map((code) => (
                <li key={code}>
                  <code>{code}</code>
                </li>
              ))}
            </ul>
          </div>
          <button type="submit" className="bar-primary" disabled={busy}>
            I have kept them
          </button>
        </>
      ) : (
        <>
          <input
            name="code"
            required
            autoFocus
            autoComplete="one-time-code"
            placeholder={step.kind === 'prove' ? 'Code, or a recovery code' : 'Code of the app'}
            aria-label="Code"
          />
          <button type="submit" className="bar-primary" disabled={busy}>
            Prove
          </button>
          <button type="button" disabled={busy} onClick={() => void cancel()}>
            Cancel
          </button>
        </>
      )}
    </form>
  );
}
