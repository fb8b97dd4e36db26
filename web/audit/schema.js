// The contract: the rules of graphql-eslint, and graphql-inspector's comparison with the last release.
import { compare, files, lint, read, root } from './contract.js';

const breaches = await lint(root, 'schema/*.graphqls');
breaches.forEach((breach) => console.log(`BREACH  ${breach}`));

const { changes, refused, stale } = await compare(read(files.released), read(files.sdl), read(files.accepted));
changes.forEach(({ level, message, key }) => console.log(`${level.toLowerCase().padEnd(12)}  ${message} (${key})`));
refused.forEach(({ key }) =>
  console.log(
    `BREAKS  ${key}: clients of the last release break; keep it, or add this line with a reason to docs/schema.breaking`,
  ),
);
stale.forEach((line) => console.log(`STALE   docs/schema.breaking: "${line}" breaks nothing, or says no reason`));

const passed = breaches.length + refused.length + stale.length === 0;
console.log(
  `RESULT breaches=${breaches.length} changes=${changes.length} breaking=${refused.length} stale=${stale.length} ` +
    `verdict=${passed ? 'ok' : 'failed'}`,
);
process.exitCode = passed ? 0 : 1;
