import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import '@graphiql/plugin-explorer/style.css';
import './console.css';

import { explorerPlugin } from '@graphiql/plugin-explorer';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { StrictMode, useMemo, useSyncExternalStore } from 'react';
import { createRoot } from 'react-dom/client';

import { Access } from './access';
import { Api } from './api';
import { Bar } from './bar';
import { examples } from './examples';
import { examplesPlugin, VariableFiller } from './examples-plugin';
import { createFetcher } from './fetcher';
import { Filled } from './filled';
import { fill, type Filling, Known } from './known';
import { Renewal } from './renewal';
import { Session } from './session';
import { loadSettings, type Settings } from './settings';
import { Sockets } from './sockets';
import { ThemeFollower } from './theme-follower';

/** Everything that lives as long as the page. */
async function start(root: HTMLElement): Promise<void> {
  const session = new Session(window.sessionStorage);
  const renewal = new Renewal(session);
  const api = new Api(renewal);
  const settings = await loadSettings();
  const access = new Access(api, session, settings);
  await access.check();
  const known = new Known(api);
  if (access.isOpen) {
    await known.lookUp();
  }
  let account = session.account;
  session.subscribe(() => {
    if (account !== session.account) {
      account = session.account;
      known.forgetViewer();
      if (access.isOpen) {
        void known.lookUp();
      }
    }
  });
  const sockets = new Sockets(session, renewal);
  const filling = { known, signIn: settings.signIns[0], filled: new Filled(window.localStorage) };
  createRoot(root).render(
    <StrictMode>
      <Console {...{ access, api, filling, session, settings, sockets }} />
    </StrictMode>,
  );
}

interface Props {
  readonly access: Access;
  readonly api: Api;
  readonly filling: Filling;
  readonly session: Session;
  readonly settings: Settings;
  readonly sockets: Sockets;
}

function Console({ access, api, filling, session, settings, sockets }: Props) {
  const { signedIn } = useSyncExternalStore(session.subscribe, session.snapshot);
  const account = signedIn?.account;

  // GraphiQL reads the schema again for each new fetcher: what it may see depends on who is signed in.
  const fetcher = useMemo(
    () =>
      createFetcher(api, sockets, (answer) => {
        access.observe(answer);
        filling.known.learn(answer);
      }),
    [access, api, filling, sockets, account],
  );
  const welcome = useMemo(() => greet(settings, filling), [settings, filling]);

  return (
    <>
      <Bar access={access} session={session} settings={settings} />
      <main className="workbench">
        <GraphiQL
          fetcher={fetcher}
          {...(!access.isOpen && { schema: null })}
          {...welcome}
          defaultEditorToolsVisibility="variables"
          inputValueDeprecation
          schemaDescription
        >
          <GraphiQL.Logo>
            <></>
          </GraphiQL.Logo>
          <VariableFiller examples={examples} filling={filling} />
          <ThemeFollower />
        </GraphiQL>
      </main>
    </>
  );
}

/** What GraphiQL begins with: the tabs of an earlier visit, else the examples. */
function greet(settings: Settings, filling: Filling) {
  // Administrators' passwords belong into the form, not into an editor that remembers what is typed.
  const shown = settings.environment === 'development' ? examples : examples.filter(({ name }) => !/Sign(Up|In)$/.test(name));
  const defaultTabs = shown.map(({ query, variables }) => ({
    query,
    variables: fill(variables, filling, { renew: false }),
  }));
  // GraphiQL opens the stored tab whose contents these are, and would add one for contents that no tab has.
  const front = storedTab() ?? defaultTabs[0];
  return {
    plugins: [examplesPlugin(shown, filling), HISTORY_PLUGIN, explorerPlugin()],
    defaultTabs,
    ...(front && { initialQuery: front.query ?? '', initialVariables: front.variables ?? '' }),
  };
}

/** The tab that was in front when this browser left the console. */
function storedTab(): { query: string | null; variables: string | null } | undefined {
  try {
    const { tabs, activeTabIndex } = JSON.parse(window.localStorage.getItem('graphiql:tabState') ?? 'null');
    return tabs[activeTabIndex];
  } catch {
    return undefined;
  }
}

const root = document.getElementById('console');
if (root === null) {
  throw new Error('index.html has no element with the id "console".');
}
void start(root);
