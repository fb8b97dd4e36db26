/** A demo account that one click signs in with; a server in production offers none. */
export interface DemoSignIn {
  readonly role: string;
  readonly email: string;
  readonly password: string;
  /** Of the account's authenticator app, when it has one. */
  readonly secret?: string;
}

/** What the server says about itself to this page: web.Settings in Go. */
export interface Settings {
  readonly environment: 'development' | 'production';
  readonly signIns: readonly DemoSignIn[];
}

/** Asks the server. One that does not answer offers nothing and is treated as production, which allows the least. */
export async function loadSettings(): Promise<Settings> {
  try {
    const answer = await fetch('/console.json', { cache: 'no-store', credentials: 'omit' });
    if (answer.ok) {
      return (await answer.json()) as Settings;
    }
  } catch {
    // The page works without; its first request to the API says what is wrong.
  }
  return { environment: 'production', signIns: [] };
}
