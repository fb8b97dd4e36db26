import { type GraphiQLPlugin, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useCallback, useEffect, useSyncExternalStore } from 'react';

import type { Example } from './examples';
import { fill, type Filling } from './known';

/** A pane that lists the examples and opens each in a new tab, with ids that exist. */
export function examplesPlugin(examples: readonly Example[], filling: Filling): GraphiQLPlugin {
  function Examples() {
    const { addTab, updateActiveTabValues } = useGraphiQLActions();
    const { queryEditor, variableEditor } = useGraphiQL(({ queryEditor, variableEditor }) => ({
      queryEditor,
      variableEditor,
    }));

    const open = ({ query, variables, name }: Example) => {
      const values = fill(variables, filling, { renew: false });
      addTab();
      queryEditor?.setValue(query);
      variableEditor?.setValue(values);
      updateActiveTabValues({ query, variables: values, operationName: name });
    };

    return (
      <section aria-label="Examples">
        <h2 className="examples-title">Examples</h2>
        <p className="examples-hint">Each opens in a new tab, its variables filled with what exists.</p>
        <ol className="examples-list">
          {examples.map((example) => (
            <li key={example.name}>
              <button type="button" onClick={() => open(example)}>
                <strong>{example.name}</strong>
                <span>{example.summary}</span>
              </button>
            </li>
          ))}
        </ol>
      </section>
    );
  }
  return { title: 'Examples', icon: ExamplesIcon, content: Examples };
}

function ExamplesIcon() {
  return (
    <svg height="1em" viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <path d="M3 8a2 2 0 0 0 2-2h14a2 2 0 0 0 2 2v2.500a1.500 1.500 0 0 0 0 3V16a2 2 0 0 0-2 2H5a2 2 0 0 0-2-2v-2.500a1.500 1.500 0 0 0 0-3Z" />
      <path d="m10.500 9.500 4 2.500-4 2.500Z" strokeLinejoin="round" />
    </svg>
  );
}

/**
 * Keeps the variables of the tab in front up to date when it holds an example, by the name of its operation. When it comes
 * to the front, what the console filled in earlier is replaced by what holds by then, and seats by others when somebody
 * has taken them; while it stays there, only empty values are filled, so that nothing changes under the user's eyes.
 */
export function VariableFiller({ examples, filling }: Readonly<{ examples: readonly Example[]; filling: Filling }>) {
  const { known } = filling;
  const { updateActiveTabValues } = useGraphiQLActions();
  const { variableEditor, tab, operation } = useGraphiQL(({ variableEditor, tabs, activeTabIndex }) => ({
    variableEditor,
    tab: tabs[activeTabIndex]?.id,
    operation: tabs[activeTabIndex]?.operationName,
  }));
  const isExample = examples.some(({ name }) => name === operation);
  const values = useSyncExternalStore(known.subscribe, known.snapshot);

  const refill = useCallback(
    (renew: boolean): string => {
      const before = variableEditor?.getValue() ?? '';
      const after = isExample ? fill(before, filling, { renew }) : before;
      if (after !== before) {
        variableEditor?.setValue(after);
        updateActiveTabValues({ variables: after });
      }
      return after;
    },
    [variableEditor, isExample, filling, updateActiveTabValues],
  );

  useEffect(() => {
    let isInFront = true;
    const shown = refill(true);
    const { seatIds } = known.snapshot();
    if (shown.includes('"seatIds"')) {
      void known.lookUp().then(() => {
        if (isInFront && known.snapshot().seatIds !== seatIds && variableEditor?.getValue() === shown) {
          refill(true);
        }
      });
    }
    return () => {
      isInFront = false;
    };
  }, [tab, known, refill, variableEditor]);

  useEffect(() => {
    refill(false);
  }, [values, refill]);

  return null;
}
