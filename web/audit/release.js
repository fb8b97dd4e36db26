// Makes the present contract the released one: what later changes are compared with. Breaks that were agreed to are
// history then, and leave the list.
import { copyFileSync, writeFileSync } from 'node:fs';

import { compare, files, read } from './contract.js';

const { refused, stale } = await compare(read(files.released), read(files.sdl), read(files.accepted));
if (refused.length + stale.length > 0) {
  console.error("The contract breaks its last release, or its list of breaks is wrong: 'make check-sdl' says how.");
  process.exit(1);
}
copyFileSync(files.sdl, files.released);
const comments = read(files.accepted)
  .split('\n')
  .filter((line) => line.startsWith('#'));
writeFileSync(files.accepted, `${comments.join('\n')}\n`);
