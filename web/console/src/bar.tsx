import { type FormEvent, useState, useSyncExternalStore } from 'react';

import type { Access } from './access';
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
  const [busy, setBusy] = useState(false);

  const problem = failure ?? notice;

  const attempt = async (action: () => Promise<string | null>): Promise<boolean> => {
    setBusy(true);
    setFailure(null);
    const refusal = await action();
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
      {signedIn === null ? (
        <SignIn settings={settings} busy={busy} signIn={(email, password) => attempt(() => access.signIn(email, password))} />
      ) : (
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
  readonly signIn: (email: string, password: string) => Promise<boolean>;
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
          {settings.signIns.map(({ role, email, password }) => (
            <button key={email} type="button" title={`Sign in as ${email}`} onClick={() => void signIn(email, password)}>
              {spoken(role)}
            </button>
          ))}
        </fieldset>
      )}
      <input name="email" type="email" required autoComplete="username" placeholder="E-mail" aria-label="E-mail" />
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
