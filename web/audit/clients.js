// The client libraries of the trade against the running binary: tests of their own, each in a process, one by one.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

import { withMarquee } from './marquee.js';

const here = import.meta.dirname;

/** Compiles Relay's operations against docs/schema.graphql. */
function compile() {
  const compiler = path.join(here, 'node_modules/.bin/relay-compiler');
  const { status, stdout, stderr } = spawnSync(compiler, ['relay.config.json'], { cwd: here, encoding: 'utf8' });
  console.log(`relay-compiler: exit code ${status}`);
  if (status !== 0) {
    console.log(stdout, stderr);
  }
  return status === 0;
}

/** Runs the tests against a server and counts those that passed and all. */
async function test(server, signal) {
  Object.assign(process.env, { AUDIT_ADDRESS: server.address, AUDIT_OPS: server.ops }); // for the processes of the tests
  const folder = path.join(here, 'clients');
  const files = readdirSync(folder).filter((name) => name.endsWith('.test.js'));
  const stream = run({ files: files.map((name) => path.join(folder, name)), concurrency: 1, signal });
  const counts = { passed: 0, total: 0 };
  stream.on('test:pass', () => {
    counts.passed++;
    counts.total++;
  });
  stream.on('test:fail', () => counts.total++);
  for await (const text of stream.compose(spec)) {
    process.stdout.write(text);
  }
  return { ...counts, files: files.length };
}

await withMarquee(async (server, signal) => {
  const compiled = compile();
  const { passed, total, files } = await test(server, signal);
  const ok = compiled && files > 0 && total >= files && passed === total;
  console.log(
    `RESULT ok=${passed} total=${total} clients=${files} relay_compiler=${compiled ? 'ok' : 'failed'} verdict=${ok ? 'ok' : 'failed'}`,
  );
  return ok;
});
