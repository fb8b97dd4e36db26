// GraphQL over HTTP: every audit of graphql-http against the running binary.
import { serverAudits } from 'graphql-http';

import { withMarquee } from './marquee.js';

// The audits of graphql-http 1.23.1. A release that lost some would pass unseen.
const all = 61;

await withMarquee(async (server) => {
  const counts = { ok: 0, notice: 0, warn: 0, error: 0 };
  const audits = serverAudits({ url: server.http, fetchFn: fetch });
  for (const audit of audits) {
    const result = await audit.fn();
    counts[result.status]++;
    console.log(`${result.status.padEnd(6)}  ${audit.id}  ${audit.name}${result.reason ? `: ${result.reason}` : ''}`);
  }
  const passed = audits.length === all && counts.ok === all;
  const { ok, ...rest } = counts;
  const others = Object.entries(rest).map(([status, count]) => `${status}=${count}`);
  console.log(`RESULT ok=${ok} total=${audits.length} ${others.join(' ')} verdict=${passed ? 'ok' : 'failed'}`);
  return passed;
});
