import { useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect } from 'react';

/**
 * Lets the editors follow the system from light to dark and back while the page is open. GraphiQL gives them their
 * theme once; its stylesheet follows by itself.
 */
export function ThemeFollower() {
  const { setTheme } = useGraphiQLActions();
  const theme = useGraphiQL((state) => state.theme);

  useEffect(() => {
    const system = window.matchMedia('(prefers-color-scheme: dark)');
    const follow = () => setTheme(theme);
    system.addEventListener('change', follow);
    return () => system.removeEventListener('change', follow);
  }, [setTheme, theme]);

  return null;
}
