import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';

import { compare, lint } from './contract.js';

const folder = mkdtempSync(path.join(tmpdir(), 'marquee-contract-'));
after(() => rmSync(folder, { recursive: true }));

const sound = `
  "What can be read."
  type Query {
    "Things."
    things("How many." first: Int "From." after: String "How many." last: Int "To." before: String): ThingConnection!
  }
  "What can be done."
  type Mutation {
    "Makes it."
    make("What." input: MakeInput!): MakePayload!
  }
  "What to make."
  input MakeInput {
    "Its kind."
    kind: Kind!
  }
  "What was made."
  type MakePayload {
    "It."
    thing: Thing!
  }
  "What has an id."
  interface Node {
    "The id."
    id: ID!
  }
  "A thing."
  type Thing implements Node {
    "Its id."
    id: ID!
    "Its parts."
    parts: [Thing!]!
    "Its kind."
    kind: Kind!
  }
  "Kinds."
  enum Kind {
    "Big."
    BIG
  }
  "A page."
  type ThingConnection {
    "Edges."
    edges: [ThingEdge!]!
    "Where the page stands."
    pageInfo: PageInfo!
  }
  "A thing in a page."
  type ThingEdge {
    "Its place."
    cursor: String!
    "It."
    node: Thing!
  }
  "A place."
  type PageInfo {
    "After."
    hasNextPage: Boolean!
    "Before."
    hasPreviousPage: Boolean!
    "First."
    startCursor: String
    "Last."
    endCursor: String
  }
`;

let schemas = 0;

/** Lints sound after a replacement. */
function lintWith(from, to) {
  assert.ok(sound.includes(from), from);
  const name = `${schemas++}.graphqls`;
  writeFileSync(path.join(folder, name), sound.replace(from, to));
  return lint(folder, name);
}

test('lint: a sound schema breaks no rule', async () => {
  assert.deepEqual(await lintWith('', ''), []);
});

for (const [rule, from, to] of [
  ['require-description', '"A thing."', ''],
  ['require-description', '"Its parts."', ''],
  ['require-description', '"Big."', ''],
  ['require-description', '"How many." first', 'first'],
  ['require-description', '"Its kind."', ''],
  ['naming-convention', '    BIG', '    Big'],
  ['naming-convention', 'parts:', 'Parts:'],
  ['naming-convention', 'things(', 'getThings('],
  ['no-typename-prefix', 'parts:', 'thingParts:'],
  ['relay-arguments', 'first: Int "From." after: String', 'from: Int "From." size: String'],
  ['relay-connection-types', '"Where the page stands."\n    pageInfo: PageInfo!', ''],
  ['relay-edge-types', '"Its place."\n    cursor: String!', ''],
  ['relay-page-info', '"Before."\n    hasPreviousPage: Boolean!', ''],
  [
    'strict-id-in-types',
    '"Kinds."',
    '"A part." type Part { "Its size." size: Int! } extend type Thing { "It." part: Part! } "Kinds."',
  ],
  ['input-name', 'input: MakeInput', 'what: MakeInput'],
  ['no-scalar-result-type-on-mutation', '): MakePayload!', '): Boolean!'],
  ['no-unreachable-types', '"A thing."', '"Unused." type Unused { "Its id." id: ID! } "A thing."'],
  ['require-deprecation-reason', 'kind: Kind!\n  }\n  "Kinds."', 'kind: Kind! @deprecated\n  }\n  "Kinds."'],
]) {
  test(`lint: ${rule} sees ${JSON.stringify(to || from)}`, async () => {
    const breaches = await lintWith(from, to);
    assert.ok(
      breaches.some((breach) => breach.endsWith(`(@graphql-eslint/${rule})`)),
      breaches.join('\n'),
    );
  });
}

const keys = (changes) => changes.map(({ key }) => key);

test('compare: an addition breaks nobody', async () => {
  const { changes, refused, stale } = await compare(
    'type Query { a: Int }',
    'type Query { a: Int b: Int }',
    '# a comment\n',
  );
  assert.deepEqual(keys(changes), ['FIELD_ADDED Query.b']);
  assert.deepEqual([refused, stale], [[], []]);
});

for (const [name, from, to, key] of [
  ['a field that goes', 'type Query { a: Int b: Int }', 'type Query { a: Int }', 'FIELD_REMOVED Query.b'],
  ['a type that changes', 'type Query { a: Int }', 'type Query { a: String }', 'FIELD_TYPE_CHANGED Query.a'],
  ['an answer that may be null', 'type Query { a: Int! }', 'type Query { a: Int }', 'FIELD_TYPE_CHANGED Query.a'],
  [
    'a new argument that must be given',
    'type Query { a: Int }',
    'type Query { a(b: Int!): Int }',
    'FIELD_ARGUMENT_ADDED Query.a.b',
  ],
]) {
  test(`compare: ${name} is refused, unless it was agreed to`, async () => {
    assert.deepEqual(keys((await compare(from, to, '')).refused), [key]);
    assert.deepEqual((await compare(from, to, `${key} because`)).refused, []);
    assert.deepEqual((await compare(from, to, `${key}`)).stale, [key], 'a reason is needed');
  });
}

test('compare: what was agreed to and does not happen is stale', async () => {
  const line = 'FIELD_REMOVED Query.z it is gone';
  assert.deepEqual((await compare('type Query { a: Int }', 'type Query { a: Int }', line)).stale, [line]);
});
