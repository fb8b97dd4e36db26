/** A tab that shows how to use the API. */
export interface Example {
  readonly name: string;
  readonly summary: string;
  readonly query: string;
  readonly variables: string;
}

const documents = import.meta.glob<string>('./examples/*.graphql', { query: '?raw', import: 'default', eager: true });
const variables = import.meta.glob<string>('./examples/*.json', { query: '?raw', import: 'default', eager: true });

/** The examples in the order of their file names, which tell a story from a title to a seat and back. */
export const examples: readonly Example[] = Object.keys(documents)
  .sort()
  .map((path) => {
    const query = documents[path] ?? '';
    return {
      name: /^(?:query|mutation|subscription) (\w+)/m.exec(query)?.[1] ?? path,
      summary: firstSentence(query),
      query,
      variables: JSON.stringify(JSON.parse(variables[path.replace(/graphql$/, 'json')] ?? '{}'), null, 2),
    };
  });

/** The first sentence of the comment that each example begins with, which is not more than a question. */
function firstSentence(query: string): string {
  const comment = query
    .split('\n')
    .filter((line) => line.startsWith('#'))
    .map((line) => line.slice(1).trim())
    .join(' ');
  return /^.*?[a-z]\.(?= |$)/.exec(comment)?.[0] ?? comment;
}
