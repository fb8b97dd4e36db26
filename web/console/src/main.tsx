import 'graphiql/setup-workers/vite';
import 'graphiql/style.css';
import '@graphiql/plugin-explorer/style.css';
import './console.css';

import { explorerPlugin } from '@graphiql/plugin-explorer';
import { GraphiQL, HISTORY_PLUGIN } from 'graphiql';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';

import { fetcher } from './fetcher';
import logo from './marquee.svg';
import tour from './tour.graphql?raw';
import tourVariables from './tour.variables.json?raw';

const plugins = [HISTORY_PLUGIN, explorerPlugin()];

// The tour greets a browser that holds no tabs from an earlier visit. GraphiQL fills the variables
// editor of the first tab from `initialVariables` alone, and on a later visit that property would
// add a tab instead.
const isFirstVisit = window.localStorage.getItem('graphiql:tabs') === null;
const welcome = {
  defaultTabs: [{ query: tour, variables: tourVariables }],
  ...(isFirstVisit && { initialVariables: tourVariables }),
};

function Console() {
  return (
    <GraphiQL
      fetcher={fetcher}
      plugins={plugins}
      {...welcome}
      defaultEditorToolsVisibility="variables"
      inputValueDeprecation
      schemaDescription
    >
      <GraphiQL.Logo>
        <span className="marquee-logo">
          <img src={logo} alt="" />
          Marquee
        </span>
      </GraphiQL.Logo>
    </GraphiQL>
  );
}

const root = document.getElementById('console');
if (root === null) {
  throw new Error('index.html has no element with the id "console".');
}
createRoot(root).render(
  <StrictMode>
    <Console />
  </StrictMode>,
);
