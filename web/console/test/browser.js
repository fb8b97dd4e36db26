// Drives the console of the built binary in a headless Chromium, as a person would, beside a second customer who is no
// browser. It prints one line a step, keeps its pictures in build/console, and ends with exit code 0 only when every
// step held and the page was quiet: nothing asked of another host, no error in the browser's console, no breach of the
// content security policy.
import { createHmac } from 'node:crypto';
import { mkdir } from 'node:fs/promises';

import { chromium } from 'playwright-core';

import { Refused, withMarquee } from '../../audit/marquee.js';
import { ConsolePage, must, openPage, pictures, Watch } from './page.js';
import { spaStory } from './spa.js';

const examples = 16; // that the console opens with, a tab each
const accounts = 3; // of them make accounts and sessions, which production leaves to others

/** The code that an authenticator app shows, some periods from now. */
function code(secret, periods = 0) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + periods));
  const key = Buffer.from(bits.match(/.{8}/g).map((octet) => Number.parseInt(octet, 2)));
  const mac = createHmac('sha1', key).update(counter).digest();
  return String((mac.readUInt32BE(mac[19] & 0xf) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** The story, step by step. */
function story(server, watch, page, browser) {
  const at = new ConsolePage(page);
  let showtimeId;
  let token;
  let strict;
  let there;
  const asked = (operation) => {
    const seen = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/graphql') && request.postData()?.includes(operation)) {
        seen.push(request);
      }
    });
    return seen;
  };
  const endElsewhere = async () => {
    const elsewhere = server.visitor();
    ({ token: elsewhere.token } = await at.stored());
    await elsewhere.signOut();
  };

  return [
    ['the page opens with the examples in tabs and nobody signed in', async () => {
      await page.goto(`http://${server.address}/`);
      await at.shows('Development', 'Customer', 'Theater manager', 'Admin');
      await at.until('tabs', async () => (await at.tabs.count()) === examples);
      must((await at.stored()) === null, 'somebody is signed in');
      await at.picture('signed-out-light.png');
    }],
    ['a username reaches the server, which refuses it when nobody has it', async () => {
      await at.signIn('nobody.of.that.name', 'not the password of it');
      await at.until('a refusal', async () => /username/.test(await at.bar.getByRole('alert').innerText()));
    }],
    ['a wrong password is a sentence in the bar', async () => {
      await at.signIn('customer@marquee.example', 'not the password of it');
      await at.until('a refusal', async () => (await at.bar.getByRole('alert').innerText()).length > 10);
    }],
    ['the demo customer signs in through the form', async () => {
      await at.signIn('customer@marquee.example', 'customer at the movies');
      await at.shows('Casey Customer', 'customer@marquee.example', 'Sign out');
      const session = await at.stored();
      ({ token } = session);
      for (const secret of [token, session.refreshToken]) {
        must(!(await at.keepsBeyondTheTab(secret)), `${secret} is kept beyond the tab`);
      }
      must(!JSON.stringify(session).includes('customer at the movies'), 'the password is kept');
    }],
    ['the session outlives a reload of the page', async () => {
      await page.reload();
      await at.shows('Casey Customer');
      await at.until('the tabs come back', async () => (await at.tabs.count()) === examples);
      must((await at.stored()).token === token, 'the session was renewed without need');
    }],
    ['a token whose time has come is renewed on first use, by one request', async () => {
      const renewals = asked('ConsoleRefreshSession');
      const { refreshToken } = await at.stored();
      await at.restart({ renewAt: 0 });
      await at.shows('Casey Customer');
      await at.example('Movies', /"title": ".+"/);
      must(renewals.length === 1, `${renewals.length} renewals`);
      must((await at.stored()).refreshToken !== refreshToken, 'the refresh token is still the one before');
    }],
    ['a token that the server refuses is renewed, and what was asked is answered', async () => {
      const renewals = asked('ConsoleRefreshSession');
      await at.restart({ token: 'eyJ.no.token' });
      await at.shows('Casey Customer');
      await at.example('Movies', /"title": ".+"/);
      must(renewals.length === 1, `${renewals.length} renewals`);
      ({ token } = await at.stored());
      must(token !== 'eyJ.no.token', 'the token is still the one that was refused');
      must(watch.errors.every((error) => error.includes('401')), `the browser tells other errors than the 401: ${watch.errors}`);
      watch.errors.length = 0;
    }],
    ['the schema is read: the documentation lists the root types', async () => {
      await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
      await at.until('the root types', async () => /query: ?Query/.test(await page.locator('.graphiql-plugin').innerText()));
      await page.getByRole('button', { name: 'Hide Documentation Explorer' }).click();
    }],
    ['a query runs: movies with showtimes', async () => {
      await at.example('Movies', /"title": ".+"/);
    }],
    ['the live subscription shows the whole map first', async () => {
      const variables = await at.example('SeatMapLive', /"stateLetters":\s+"[AHTB]+/);
      [, showtimeId] = /"showtimeId": "(sho_\w+)"/.exec(variables);
      await at.until('one socket', async () => watch.sockets.length === 1);
    }],
    ['another customer reserves a seat: the delta arrives in the console', async () => {
      const other = await server.customer();
      const seatIds = await other.seatsFor(showtimeId, 1);
      await other.reserve(showtimeId, seatIds);
      await at.answer('the delta', new RegExp(`"changes": \\[[^]*"${seatIds[0]}"[^]*"HELD"|"changes": \\[[^]*"HELD"[^]*"${seatIds[0]}"`));
      await at.picture('live-light.png');
    }],
    ['signing out ends the session on the server, and the subscription goes on by a socket without it', async () => {
      await at.signOut();
      await at.answer('the map again', /"stateLetters"/);
      await at.until('another socket', async () => watch.sockets.length === 2 && watch.sockets[0].isClosed());
      must(!watch.sockets[1].isClosed(), 'the other socket is closed');
      const old = server.visitor();
      old.token = token;
      await old.ask('{ genres { name } }').then(
        () => must(false, 'the token still works'),
        (refused) => must(refused instanceof Refused && refused.code === 'UNAUTHENTICATED', `refused: ${refused}`),
      );
      must((await at.stored()) === null, 'the token is still here');
      await at.run(); // stops it
      await at.until('the socket closes', async () => watch.sockets[1].isClosed());
    }],
    ['an operation signs up and in: the bar shows the account, and the next ones are of its', async () => {
      const [, email] = /"email": "(.+)"/.exec(await at.example('SignUp', /"email": "visitor-/));
      const input = { token: await server.mailedToken(email), password: 'a few words I remember', name: 'Vera Visitor' };
      await at.open('ConfirmSignUp');
      await at.fillVariables({ input });
      await at.run();
      await at.answer('ConfirmSignUp', /"token":\s+"eyJ/);
      await at.shows('Vera Visitor');
      await at.example('QuoteSeats', /"total": \{\s+"formatted": "\w{3} [\d.,]+"[^]*"refundSteps": \[\s+\{/);
      await at.open('ReserveSeats');
      await at.until('seats that are free', async () => {
        // A page that was loaded again may have chosen another showtime.
        const variables = await at.text('[aria-label="Variables"]');
        const [shown] = variables.match(/sho_\w+/) ?? [showtimeId];
        const offered = variables.match(/sea_\w+/g);
        const free = await server.visitor().freeSeats(shown);
        return offered?.length === 2 && offered.every((id) => free.includes(id));
      });
      await at.run();
      await at.answer('ReserveSeats', /"status": "HELD"/);
      await at.example('PayReservation', /"status": "CONFIRMED"/);
      await at.example('RefundPreview', /"steps": \[\s+\{/);
      await at.example('SwapPreview', /"comesBack"/);
      await at.example('SwapSeats', /"status": "HELD"/);
      const [coming] = /res_\w+/.exec(await at.text('.graphiql-response'));
      await at.open('PayReservation');
      await at.until('the reservation that comes', async () => (await at.text('[aria-label="Variables"]')).includes(coming));
      await at.run();
      await at.answer('PayReservation', new RegExp(`"${coming}",\\s+"status": "CONFIRMED"`));
      await at.example('MyReservations', /"status": "CONFIRMED"[^]*"status": "CANCELLED"/);
      await at.example('CancelReservation', /"status": "CANCELLED"/);
      await at.example('NodeById', /"__typename": "Showtime"/);
      await at.signOut();
      await at.example('SignIn', /"token":\s+"eyJ/);
      await at.shows('Casey Customer');
      await at.signOut();
    }],
    ['an example opens again from its pane, with other seats', async () => {
      await at.bar.getByRole('button', { name: 'Customer' }).click();
      await at.shows('Casey Customer');
      await page.getByRole('button', { name: 'Show Examples' }).click();
      await at.snap('examples-light.png');
      await page.getByRole('region', { name: 'Examples' }).getByRole('button', { name: 'ReserveSeats' }).click();
      await at.until('one more tab', async () => (await at.tabs.count()) === examples + 1);
      await at.run();
      await at.answer('ReserveSeats', /"status": "HELD"/);
      await at.signOut();
    }],
    ['a manager sells at the counter of their theater', async () => {
      await at.bar.getByRole('button', { name: 'Theater manager' }).click();
      await at.shows('Morgan Manager');
      await at.open('SellAtCounter');
      const seller = server.visitor();
      ({ token: seller.token } = await at.stored());
      const { me } = await seller.ask('{ me { grants { theater { id } } } }');
      await at.until('a showtime there', async () => {
        const [id] = (await at.text('[aria-label="Variables"]')).match(/sho_\w+/);
        const { node } = await seller.ask('query ($id: ID!) { node(id: $id) { ... on Showtime { theater { id } } } }', { id });
        return node.theater.id === me.grants[0].theater.id;
      });
      await at.run();
      await at.answer('SellAtCounter', /"change": \{\s+"formatted": "GBP [\d.]+"/);
      await at.signOut();
    }],
    ['one click signs the administrator in, in the dark', async () => {
      await page.emulateMedia({ colorScheme: 'dark' });
      await at.bar.getByRole('button', { name: 'Admin' }).click();
      await at.shows('Alex Admin', 'Admin', 'Sign out');
      await at.example('Movies', /"title": ".+"/);
      await at.picture('admin-dark.png');
    }],
    ['a session that was ended elsewhere ends the live subscription, and is said', async () => {
      await at.example('SeatMapLive', /"stateLetters"/);
      await endElsewhere();
      await at.shows('Your session has ended. Sign in again.', 'Demo');
      await at.until('the reason', async () => /Your session has ended/.test(await at.text('.graphiql-response')));
      must(!(await at.text('.graphiql-response')).includes('stack'), 'the answer shows the script');
      must((await at.stored()) === null, 'the token is still here');
      await at.until('all sockets closed', async () => watch.sockets.every((socket) => socket.isClosed()));
    }],
    ['so it is when the next query is refused', async () => {
      await at.bar.getByRole('button', { name: 'Customer' }).click();
      await at.shows('Casey Customer');
      await at.open('Movies');
      await endElsewhere();
      await at.run();
      await at.shows('Your session has ended. Sign in again.', 'Demo');
      must((await at.stored()) === null, 'the token is still here');
      await at.until('the browser tells of the refusal', async () => watch.errors.length > 0);
      must(watch.errors.length === 1 && watch.errors[0].includes('401'), `the browser tells other errors than the 401: ${watch.errors}`);
      watch.errors.length = 0;
      await at.picture('signed-out-dark.png');
    }],
    ['a minute before its token ends a session is renewed, and the live subscription goes on by a socket with the next', async () => {
      const lasting = await openPage(browser, watch);
      const there = new ConsolePage(lasting);
      await lasting.clock.install();
      await lasting.addInitScript(() => {
        window.renewals = []; // when they are asked for, by the clock of the page
        const send = window.fetch;
        window.fetch = (to, request) => {
          if (request?.body?.includes('ConsoleRefreshSession')) {
            window.renewals.push(Date.now());
          }
          return send(to, request);
        };
      });
      await lasting.goto(`http://${server.address}/`);
      await there.shows('Demo');
      await there.bar.getByRole('button', { name: 'Customer' }).click();
      await there.shows('Casey Customer');
      const before = await there.stored();
      const first = watch.sockets.length;
      await there.example('SeatMapLive', /"stateLetters"/);
      const [, claims] = before.token.split('.');
      const ends = JSON.parse(Buffer.from(claims, 'base64url')).exp * 1000;
      // The second before it is due passes by itself: a jump past a timer hides when it was set for, and tokens that the
      // server makes within one second are the same.
      await lasting.clock.fastForward(ends - 61_000 - (await lasting.evaluate(() => Date.now())));
      await there.until('another token', async () => (await there.stored()).token !== before.token);
      const renewals = await lasting.evaluate(() => window.renewals);
      must(renewals.length === 1, `${renewals.length} renewals`);
      const left = Math.round(ends - renewals[0]);
      must(left > 0 && left <= 60_000, `the session is renewed ${left} ms before its token ends`);
      await there.until('another socket', async () => watch.sockets.length === first + 2 && watch.sockets[first].isClosed());
      await there.answer('the map again', /"stateLetters"/);
      must((await there.stored()).refreshToken !== before.refreshToken, 'the refresh token is still the one before');
      const old = server.visitor();
      old.token = (await there.stored()).token;
      await old.ask('{ me { name } }');
      must(!watch.sockets[first + 1].isClosed(), 'the next socket is closed');
      await lasting.context().close();
    }],
    ['told that it is in production, the page asks nothing before an administrator has signed in', async () => {
      strict = await openPage(browser, watch, { '**/console.json': { environment: 'production', signIns: [] } });
      there = new ConsolePage(strict);
      const asked = [];
      strict.on('request', (request) => request.url().endsWith('/graphql') && asked.push(request.postDataJSON().operationName));
      await strict.goto(`http://${server.address}/`);
      await there.shows('Production', 'Sign in as an administrator to begin.');
      await there.until('tabs', async () => (await there.tabs.count()) === examples - accounts);
      await there.signIn('customer@marquee.example', 'customer at the movies');
      await there.shows('This console is for administrators only.');
      must((await there.stored()) === null, 'a customer is signed in');
      must(asked.length === 2, `before an administrator came it asked ${asked}`);
      const { signIns } = await (await fetch(`http://${server.address}/console.json`)).json();
      const { secret } = signIns.find(({ role }) => role === 'ADMIN');
      await there.signIn('admin@marquee.example', 'admin at the movies');
      await there.prove('000 000');
      await there.shows('The code is wrong');
      must((await there.stored()) === null, 'an administrator is signed in by the password alone');
      await there.prove(code(secret, 1)); // the click before may have used the present one up
      await there.shows('Alex Admin');
      await there.until('the schema is read', async () => asked.includes('IntrospectionQuery'));
      await there.example('SeatMapLive', /"stateLetters"/);
      await there.picture('production-light.png');

      const admin = server.visitor();
      admin.token = (await there.stored()).token;
      const { me } = await admin.ask('{ me { factors { id } } }');
      await admin.ask('mutation ($id: ID!) { removeFactor(input: { factorId: $id }) { __typename } }', { id: me.factors[0].id });
      await strict.evaluate(() => window.sessionStorage.clear());
      await strict.reload();
    }],
    ['an administrator without a second factor enrols one before anything else is shown', async () => {
      await there.shows('Sign in as an administrator to begin.');
      await there.signIn('admin@marquee.example', 'admin at the movies');
      await there.shows('Your role needs a second factor.');
      must((await there.stored()) === null, 'an administrator is signed in by the password alone');
      await there.snap('enrolment-light.png');
      const secret = await there.bar.locator('.bar-panel code').innerText();
      await there.prove(code(secret));
      await there.shows('Keep these recovery codes.');
      must((await there.bar.locator('.bar-panel li').count()) === 10, 'there are not ten recovery codes');
      await there.snap('recovery-codes-light.png');
      await there.bar.getByRole('button', { name: 'I have kept them' }).click();
      await there.shows('Alex Admin', 'Sign out');
      await there.example('Movies', /"title": ".+"/);
      await strict.context().close();
    }],
    ['the page was quiet: no other host, no error, no breach of its policy', async () => {
      const noise = [...watch.foreign, ...watch.errors, ...watch.breaches];
      must(noise.length === 0, noise.join('\n'));
    }],
  ];
}

await withMarquee(async (server) => {
  const began = Date.now();
  await mkdir(pictures, { recursive: true });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-quic',
    ],
  });
  const watch = new Watch(server.address);
  let done = 0;
  let steps = [];
  try {
    const page = await openPage(browser, watch);
    steps = [...story(server, watch, page, browser), ...spaStory(server, browser)];
    for (const [name, step] of steps) {
      const start = Date.now();
      try {
        await step();
      } catch (error) {
        console.log(`${String(Date.now() - start).padStart(6)} ms  FAILED   ${name}\n${error.stack}`);
        await new ConsolePage(page).snap('failed.png').catch(() => {});
        break;
      }
      done++;
      console.log(`${String(Date.now() - start).padStart(6)} ms  ok       ${name}`);
    }
  } finally {
    await browser.close();
  }
  const passed = done > 0 && done === steps.length;
  const seconds = ((Date.now() - began) / 1000).toFixed(1);
  console.log(
    `RESULT console steps=${done} of=${steps.length} foreign=${watch.foreign.length} errors=${watch.errors.length} ` +
      `breaches=${watch.breaches.length} sockets=${watch.sockets.length} seconds=${seconds} verdict=${passed ? 'ok' : 'failed'}`,
  );
  return passed;
});
